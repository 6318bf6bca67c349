"""What an entry of the catalogue is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headwise.checker.reference.state import Change

__all__ = ["Mistake"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake.

    Attributes
    ----------
    code : str
        Its stable name.
    title : str
        The mistake in one sentence.
    formula : str
        The line of mathematics that it should be.
    symptom : str
        How the mistake shows itself, or why it is one.
    fix : str
        How to correct it.
    operations : tuple of str
        Operations in the source where it may be, the likeliest first; names in
        `headwise.checker.report.locations.OPERATIONS`.
    changes : tuple of Change
        The reference with this mistake put in: the ways in which people write it. Empty for what shows while
        the function runs and not in its outputs.
    reported_in : tuple of str
        Public threads that report it, as repository and number.
    level : {"mistake", "hazard"}
        A mistake gives other outputs on ordinary inputs; a hazard only in an edge case, such as a query that may
        attend to nothing.
    """

    code: str
    title: str
    formula: str
    symptom: str
    fix: str
    operations: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    reported_in: tuple[str, ...] = ()
    level: Literal["mistake", "hazard"] = "mistake"
