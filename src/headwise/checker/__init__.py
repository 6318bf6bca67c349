"""The checker: names the mistake in an attention function.

`check` probes a function and returns a `Verdict`; the mistakes that it can name are the entries of `CATALOGUE`.
"""

from headwise.checker.catalogue import CATALOGUE, Mistake
from headwise.checker.core import check
from headwise.checker.detection.refusal import CheckError, UncallableError
from headwise.checker.reference.conventions import CONVENTIONS, Convention
from headwise.checker.report.verdict import Example, ProbeResult, Property, SourceLocation, Verdict
from headwise.checker.target import Target, TargetSizes

__all__ = [
    "CATALOGUE",
    "CONVENTIONS",
    "CheckError",
    "Convention",
    "Example",
    "Mistake",
    "ProbeResult",
    "Property",
    "SourceLocation",
    "Target",
    "TargetSizes",
    "UncallableError",
    "Verdict",
    "check",
]
