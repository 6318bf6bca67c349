"""Naming the mistake in somebody's attention code.

`check` probes a function and returns a `Verdict`; the mistakes that it can name are the entries of `CATALOGUE`.
"""

import sys
from types import ModuleType

from headwise.check.catalogue import CATALOGUE, Entry
from headwise.check.examine import check
from headwise.check.faces import UncallableError
from headwise.check.verdict import Example, Fact, Place, Tried, Verdict

__all__ = ["CATALOGUE", "Entry", "Example", "Fact", "Place", "Tried", "UncallableError", "Verdict", "check"]


class _Room(ModuleType):
    """`headwise.check` is this folder and, called, the function of the same name."""

    __call__ = staticmethod(check)


sys.modules[__name__].__class__ = _Room
