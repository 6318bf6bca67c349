"""The result of a check: plain dataclasses without computation.

Everything in a `Verdict` is a number, a string or a tuple of them, so that it can be sent from one process to another
and written as JSON as it stands.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

UNEXPLAINED = frozenset({"unknown", "tokens-scrambled"})  # codes of what no entry of the catalogue explains


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
    description : str
        The same in words.
    """

    name: str
    holds: bool | None
    description: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One kind of input that the function was probed with.

    Attributes
    ----------
    name : str
        A stable name: ``plain``, ``batch``, ``mask``, ``causal``, ``large-logits``, ...
    description : str
        The same in words.
    inputs : int
        How many inputs of this kind it accepted.
    agrees : bool or None
        Whether the definition, in the function's own convention, gives the same answer on all of them; None where the
        function refused them.
    difference : float
        Largest absolute difference from that definition, relative to the largest output; inf for another shape or for
        NaN.
    """

    name: str
    description: str
    inputs: int
    agrees: bool | None
    difference: float


@dataclass(frozen=True, slots=True)
class Example:
    """The smallest input on which the function differs from the definition, as text."""

    inputs: tuple[tuple[str, str], ...]
    expected: str
    got: str
    of_weights: bool = False  # whether these are attention weights, and not outputs


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A line of the user's source where a mistake probably is."""

    code: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of `check`.

    Attributes
    ----------
    name : str
        The function's name.
    kind : str
        What it was taken for: ``self_attention``, ``multi_head``, ``cross_attention`` or ``attention``.
    calling_convention : str
        How it was called, in words.
    ok : bool
        Whether it is right: it has no mistake, and agrees with the definition on every ordinary input that it takes.
        Hazards and conventions leave it True.
    mistakes : tuple of str
        Codes of the catalogue, most basic first: the function gives other outputs on ordinary inputs. Empty if `ok`.
    hazards : tuple of str
        Codes of the catalogue: it gives other outputs in an edge case, such as a query that may attend to nothing.
    conventions : tuple of str
        Codes of `headwise.checker.reference.conventions.CONVENTIONS`: choices of the function that are neither.
    untested : tuple of str
        Names of arguments that were never passed, and behaviour that was not tested.
    probes : tuple of ProbeResult
        What it was probed with.
    inputs : int
        How many inputs it accepted.
    difference : float
        The largest difference from the definition with the named mistakes, hazards and conventions, relative to the
        largest output; always finite if `ok`.
    properties : tuple of Property
        Properties of the function itself.
    example : Example or None
        The smallest input on which it differs from the definition.
    locations : tuple of SourceLocation
        Where in the source the mistakes probably are.
    notes : tuple of str
        Sentences on what was accepted or left out, and why.
    phrases : tuple of str
        The conventions in words.
    library : str
        The library of the arrays that it returns: ``numpy``, ``torch``, ``jaxlib``, ...
    """

    name: str
    kind: str
    calling_convention: str
    ok: bool
    mistakes: tuple[str, ...]
    hazards: tuple[str, ...]
    conventions: tuple[str, ...]
    untested: tuple[str, ...]
    probes: tuple[ProbeResult, ...]
    inputs: int
    difference: float
    properties: tuple[Property, ...]
    example: Example | None = None
    locations: tuple[SourceLocation, ...] = ()
    notes: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    library: str = ""

    @property
    def explained(self) -> bool:
        """Whether entries of the catalogue explain all that is wrong, if anything is."""
        return UNEXPLAINED.isdisjoint(self.mistakes)

    @property
    def rank(self) -> tuple[bool, int]:
        """How far from right: what nothing explains comes last, then the number of mistakes counts."""
        return not self.explained, len(self.mistakes)

    def report(self, format: Literal["text", "markdown", "json"] = "text", width: int = 96) -> str:
        """Return the verdict in words: for a terminal with lines of this width, as Markdown, or as JSON.

        Raises
        ------
        DataError
            If `format` is none of the three.
        """
        from headwise.checker.report.render import render_report

        return render_report(self, format, width)

    def to_json(self) -> str:
        """Every field as JSON, where an infinite difference is null; `from_json` reads it back."""
        fields = asdict(self)
        for record in (fields, *fields["probes"]):
            record["difference"] = record["difference"] if math.isfinite(record["difference"]) else None
        return json.dumps(fields, indent=2)

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        for record in (fields, *fields["probes"]):
            record["difference"] = math.inf if record["difference"] is None else record["difference"]
        if (example := fields["example"]) is not None:
            inputs = tuple((name, value) for name, value in example["inputs"])
            fields["example"] = Example(inputs, example["expected"], example["got"], example["of_weights"])
        for name, record_type in (("probes", ProbeResult), ("properties", Property), ("locations", SourceLocation)):
            fields[name] = tuple(record_type(**record) for record in fields[name])
        for name in ("mistakes", "hazards", "conventions", "untested", "notes", "phrases"):
            fields[name] = tuple(fields[name])
        return cls(**fields)
