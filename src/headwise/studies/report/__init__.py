"""The report: every study run, measured, drawn and written into one document.

A part is a module with a function that returns a `Section`; `build` names them in order.
"""

from headwise.studies.report.build import Report, build

__all__ = ["Report", "build"]
