"""The checker: names the mistake in an attention function.

`check` probes a function and returns a `Verdict`; the mistakes that it can name are the entries of `CATALOGUE`.
"""

from headwise.checker.catalogue import CATALOGUE, Mistake
from headwise.checker.core import check
from headwise.checker.signatures import UncallableError
from headwise.checker.verdict import Example, ProbeResult, Property, SourceLocation, Verdict

__all__ = [
    "CATALOGUE",
    "Example",
    "Mistake",
    "ProbeResult",
    "Property",
    "SourceLocation",
    "UncallableError",
    "Verdict",
    "check",
]
