"""The report: every study run, measured, drawn and written into one document, by the exercise sheet's numbering.

A part is a function from a `Desk` to a `Chapter`, and an entry of `PARTS` in `build`.
"""

from headwise.studies.report.build import PARTS, Report, build
from headwise.studies.report.effort import EFFORTS, Effort

__all__ = ["EFFORTS", "PARTS", "Effort", "Report", "build"]
