"""What a check found: plain dataclasses, and nothing that computes.

Everything in a `Verdict` is a number, a string or a tuple of them, so that it can be sent from one process to another
and written as JSON as it stands.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Example", "ProbeResult", "Property", "SourceLocation", "Verdict"]


@dataclass(frozen=True, slots=True)
class Property:
    """A property that was tested on the function itself, whatever the verdict.

    Attributes
    ----------
    name : str
        A stable name: ``rows-sum-to-one``, ``permutation-equivariant``, ``linear-in-values``, ``shift-invariant``,
        ``depends-on-mask``, ``deterministic``, ``keeps-inputs``, ``keeps-type``, ``output-shape``, ``finite``.
    holds : bool or None
        None where it could not be tested.
    says : str
        The same in words.
    """

    name: str
    holds: bool | None
    says: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One kind of input that the function was probed with.

    Attributes
    ----------
    name : str
        A stable name: ``plain``, ``batch``, ``mask``, ``causal``, ``large-logits``, ...
    says : str
        The same in words.
    inputs : int
        How many inputs of this kind were tried; 0 where the function takes none.
    agrees : bool or None
        Whether the plain definition gives the same answer on all of them; None where the function refused them.
    difference : float
        Largest absolute difference from the plain definition, relative to the largest output; inf for another shape
        or for NaN.
    """

    name: str
    says: str
    inputs: int
    agrees: bool | None
    difference: float


@dataclass(frozen=True, slots=True)
class Example:
    """The smallest input found on which the function departs from the definition, as text ready to print."""

    inputs: tuple[tuple[str, str], ...]
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A line of the user's source where a mistake probably is."""

    code: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `check` found.

    Attributes
    ----------
    name : str
        The function's name.
    kind : str
        What it was taken for: ``self_attention``, ``multi_head`` or ``attention``.
    read_as : str
        How it was called, in words.
    ok : bool
        Whether it is right: no mistake found, and it agrees with the definition on every input that it takes.
    mistakes : tuple of str
        Codes of the catalogue, most basic first; empty where `ok`.
    tried : tuple of Tried
        What it was probed with.
    inputs : int
        How many inputs it answered.
    difference : float
        How far it is, at most, from the definition with the named mistakes put in, relative to the largest output.
    facts : tuple of Fact
        Properties of the function itself.
    example : Example or None
        The smallest input on which it departs.
    places : tuple of Place
        Where in the source the mistakes probably are.
    notes : tuple of str
        What was accepted or left out, and why.
    """

    name: str
    kind: str
    read_as: str
    ok: bool
    mistakes: tuple[str, ...]
    tried: tuple[ProbeResult, ...]
    inputs: int
    difference: float
    facts: tuple[Property, ...]
    example: Example | None = None
    places: tuple[SourceLocation, ...] = ()
    notes: tuple[str, ...] = ()

    def report(self, format: Literal["text", "markdown", "json"] = "text") -> str:
        """Say it in words: for a terminal, as Markdown, or as JSON.

        Raises
        ------
        DataError
            If `format` is none of the three.
        """
        from headwise.checker.render import render_report

        return render_report(self, format)

    def to_json(self) -> str:
        """Every field as JSON, where an infinite difference is null; `from_json` reads it back."""
        fields = asdict(self)
        for each in (fields, *fields["tried"]):
            each["difference"] = each["difference"] if math.isfinite(each["difference"]) else None
        return json.dumps(fields, ensure_ascii=False, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """Read what `to_json` wrote."""
        given: dict[str, Any] = json.loads(text)
        for each in (given, *given["tried"]):
            each["difference"] = math.inf if each["difference"] is None else each["difference"]
        example = given.pop("example")
        if example is not None:
            example = Example(tuple((name, value) for name, value in example["inputs"]), **_rest(example, "inputs"))
        return cls(
            mistakes=tuple(given.pop("mistakes")),
            tried=tuple(ProbeResult(**each) for each in given.pop("tried")),
            facts=tuple(Property(**each) for each in given.pop("facts")),
            places=tuple(SourceLocation(**each) for each in given.pop("places")),
            notes=tuple(given.pop("notes")),
            example=example,
            **given,
        )


def _rest(given: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in without}
