"""The report: every study run, measured, drawn and written into one document, by the exercise sheet's numbering.

A part is a function from a `ReportContext` to a `Chapter`, and an entry of `PARTS` in `page`.
"""

from headwise.coursework.report.build import Report, build, write_hints
from headwise.coursework.report.page import PARTS
from headwise.coursework.report.presets import BUDGETS, Budget

__all__ = ["BUDGETS", "PARTS", "Budget", "Report", "build", "write_hints"]
