"""Naming the mistake in somebody's attention code.

`check` probes a function and returns a `Verdict`; the mistakes that it can name are the entries of `CATALOGUE`.
"""

import sys
from types import ModuleType

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


class _Room(ModuleType):
    """`headwise.checker` is this folder and, called, the function of the same name."""

    __call__ = staticmethod(check)


sys.modules[__name__].__class__ = _Room
