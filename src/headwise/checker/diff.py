"""Compare two implementations: which entries of the catalogue lead from one to the other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.catalogue import CATALOGUE
from headwise.checker.core import check
from headwise.checker.detection.acceptance import in_words
from headwise.checker.detection.calling_conventions import conventions_of_target, infer_calling_conventions
from headwise.checker.modules import find_targets, is_module
from headwise.checker.probes import PROBES, probes
from headwise.checker.reference.conventions import Requirements
from headwise.checker.reference.differences import PRECISIONS, difference
from headwise.checker.reference.state import grid
from headwise.checker.report.verdict import UNEXPLAINED, Verdict
from headwise.checker.search.agreement import LARGE_LOGITS
from headwise.checker.search.edge_cases import EDGES
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import source_of
from headwise.errors import DataError

_FUSED = re.compile(r"fused in (\S+) in the order (\([^()]*\))")
_STATED = {"mask-inverted": ("mask-hides", "padding-hides"), "weights-transposed": ("weights-in-out",)}
# conventions that functions follow in different ways, and the entries of the catalogue that say so
_APART = {"rope": "rope-layout", "causal-aligned-end": "causal-alignment", "window-as-number": "window-off-by-one"}


@dataclass(frozen=True, slots=True)
class Difference:
    """How two functions differ."""

    # what each is by itself
    first: Verdict
    second: Verdict
    inputs: int  # how many inputs both answered
    # the largest difference of their outputs, apart from edge cases, relative to the largest number in the first's
    max_difference: float
    rounding: float  # how large a difference may be: more if one of them computes in float32
    where: tuple[str, ...]  # the kinds of inputs for which they differ, in words, and how many there are of others
    others: int
    edge_cases: tuple[str, ...]  # the edge cases in which they differ, in words
    refused: tuple[tuple[str, ...], tuple[str, ...]]  # the kinds of inputs that only the other accepts, in words
    # arguments of one name that mean something else in each: for the one that does not follow the definition, the
    # entries of the catalogue that say so
    exchanged: tuple[Mapping[str, str], Mapping[str, str]]

    @property
    def same(self) -> bool:
        """Whether their outputs are the same, to rounding, on every input that both accept, apart from edge cases.

        Arguments of one name are also to mean the same, and two modules are to read a matrix that both keep under one
        name in the same order.
        """
        return self.max_difference <= self.rounding and not self._reordered and not any(self.exchanged)

    @property
    def _reordered(self) -> str:
        """The name of a fused matrix that they read in other orders; empty if there is none."""
        first, second = (
            {match[1]: match[2] for phrase in v.phrases if (match := _FUSED.search(phrase))}
            for v in (self.first, self.second)
        )
        return next((name for name, order in first.items() if second.get(name, order) != order), "")

    @property
    def added(self) -> tuple[str, ...]:
        """Mistakes and hazards of the second that the first does not have, or else of its convention."""
        codes = self._only_in(1)
        if self.same or self.first.mistakes or self.second.mistakes:
            return codes
        if self._reordered:
            return ("qkv-interleaved", *codes)
        return (*self._apart, *codes)

    @property
    def _apart(self) -> tuple[str, ...]:
        """The entries of the catalogue for the conventions in which they differ."""
        first, second = (dict(zip(v.conventions, v.phrases, strict=False)) for v in (self.first, self.second))
        return tuple(entry for code, entry in _APART.items() if first.get(code) != second.get(code))

    @property
    def _stated_as_conventions(self) -> set[str]:
        """The entries that are no mistake of either of them."""
        return {*self._apart} - {*_codes(self.first), *_codes(self.second)}

    @property
    def removed(self) -> tuple[str, ...]:
        """Mistakes and hazards of the first that the second does not have."""
        return self._only_in(0)

    def _only_in(self, place: int) -> tuple[str, ...]:
        """Mistakes and hazards that one of the two has, with what it takes its arguments for."""
        verdicts = self.first, self.second
        own, other = _codes(verdicts[place]), _codes(verdicts[1 - place])
        codes = (code for code in own if code not in other)
        return tuple(dict.fromkeys((*self.exchanged[place].values(), *codes)))

    @property
    def shared(self) -> tuple[str, ...]:
        """Mistakes and hazards that both have."""
        return tuple(code for code in _codes(self.first) if code in _codes(self.second))

    @property
    def explained(self) -> bool:
        """Whether entries of the catalogue take one to the other."""
        return self.first.explained and self.second.explained

    def report(self, format: Literal["text", "markdown", "json"] = "text") -> str:
        """Return the comparison in words, as plain text or Markdown, or as JSON with both verdicts.

        Raises DataError if `format` is none of the three.
        """
        if format not in ("text", "markdown", "json"):
            raise DataError(f"format: expected one of text, markdown, json; got {format!r}.")
        return self._json() if format == "json" else self._words("- " if format == "markdown" else "  ")

    def _json(self) -> str:
        finite = np.isfinite(self.max_difference)
        fields = {"same": self.same, "added": self.added, "removed": self.removed, "shared": self.shared}
        fields |= {"inputs": self.inputs, "max_difference": self.max_difference if finite else None}
        fields |= {"where": self.where, "edge_cases": self.edge_cases, "refused": self.refused}
        fields |= {"first": json.loads(self.first.to_json()), "second": json.loads(self.second.to_json())}
        return json.dumps(fields, indent=2)

    def _words(self, item: str) -> str:
        a, b = self.first.name, self.second.name
        if a == b:
            a, b = f"the first {a}", f"the second {b}"
        far = "in shape, or by NaN" if np.isinf(self.max_difference) else f"by up to {self.max_difference:.2g}"
        if self._reordered and self.max_difference <= self.rounding:
            lines = [f"{a} and {b} differ where {self._reordered} holds the same numbers in both."]
        elif any(self.exchanged) and self.max_difference <= self.rounding:
            names = ", ".join(f"`{name}`" for taken in self.exchanged for name in taken)
            lines = [f"{a} and {b} differ if they are given the same {names}, which they read in opposite ways."]
        elif self.same:
            lines = [f"On {self.inputs} inputs {a} and {b} give the same outputs, to {self.max_difference:.1e}."]
        else:
            lines = [f"On {self.inputs} inputs {a} and {b} differ {far}."]
            if self.others and PROBES["plain"] not in self.where:
                lines.append(f"They differ with {'; '.join(self.where)}; with the others tried they are the same.")
        if self.edge_cases:
            lines.append(f"They differ in edge cases: {'; '.join(self.edge_cases)}.")
        for refusing, accepting, kinds in ((a, b, self.refused[0]), (b, a, self.refused[1])):
            lines += [f"Only {accepting} accepts {'; '.join(kinds)}: {refusing} raises an error."] if kinds else []
        lines += [""] * (item == "- ")
        for who, codes in ((b, self.added), (a, self.removed), ("Both", self.shared)):
            named = [code for code in codes if code not in (*UNEXPLAINED, *self._stated_as_conventions)]
            lines += [f"{item}{who}: {code}. {CATALOGUE[code].title}" for code in named]
        for who, verdict, other in ((a, self.first, self.second), (b, self.second, self.first)):
            stated = {convention for code in self.added + self.removed for convention in _STATED.get(code, ())}
            pairs = zip(verdict.conventions, verdict.phrases, strict=False)
            said = {phrase for convention, phrase in pairs if convention in stated}
            phrases = [phrase for phrase in verdict.phrases if phrase not in (*other.phrases, *said)]
            lines += [f"{item}{who}: {phrase}, which is a convention." for phrase in phrases]
        if not (self.same or self.explained):
            lines += [""] * (item == "- ")
            lines.append("The catalogue does not explain all of it; headwise check says more about each.")
        return "\n".join(lines) + "\n"


def _codes(verdict: Verdict) -> tuple[str, ...]:
    return (*verdict.mistakes, *verdict.hazards)


def diff(
    first: Callable[..., Any],
    second: Callable[..., Any],
    kind: str = "auto",
    *,
    adapter: Callable[..., Any] | str | None = None,
    weights: str = "any",
    mask: str = "any",
    convention: str | Iterable[str] = (),
    args: str | Iterable[str] = (),
    inside: str | None = None,
    init: str | Mapping[str, Any] | None = None,
    sources: tuple[str | None, str | None] = (None, None),
) -> Difference:
    """Compare two functions or modules with each other, and each with the definition.

    Parameters
    ----------
    first, second : callable
        As for `check`; they may want their arguments in different ways.
    kind : {"auto", "self_attention", "multi_head", "cross_attention", "attention"}
        What both are meant to be.
    adapter, weights, mask, convention, args, inside, init
        As for `check`, for both.
    sources : tuple of str or None
        Their source texts, where they cannot be found from the functions.

    Returns
    -------
    Difference
        With ``same``, ``added``, ``removed`` and ``report()``.

    Raises
    ------
    DataError
        If the two are different kinds of function, or modules of different sizes.
    UncallableError
        If one of them cannot be called as attention.

    Examples
    --------
    >>> import numpy as np
    >>> def softmax(s):
    ...     e = np.exp(s - s.max(axis=-1, keepdims=True))
    ...     return e / e.sum(axis=-1, keepdims=True)
    >>> def ours(X, Wq, Wk, Wv):
    ...     return softmax(X @ Wq.T @ (X @ Wk.T).T / np.sqrt(len(Wq))) @ X @ Wv.T
    >>> def theirs(X, Wq, Wk, Wv):
    ...     return softmax(X @ Wq.T @ (X @ Wk.T).T / len(Wq)) @ X @ Wv.T
    >>> diff(ours, theirs).added
    ('scale-no-root',)
    """
    requirements = Requirements.of(weights, mask, convention, args)
    ways = []
    for function, source in zip((first, second), sources, strict=True):
        if adapter is None and is_module(function):
            target = find_targets(function, init=init, inside=inside)[0]
            ways.append(conventions_of_target(target, kind, requirements))
        else:
            text = source or source_of(function)
            ways.append(list(infer_calling_conventions(function, kind, adapter, text, requirements)))
    kinds = [tiers[0][0].interface.kind for tiers in ways]
    if kinds[0] != kinds[1]:
        raise DataError(f"second: expected {kinds[0]}, which the first is; got {kinds[1]}.")
    options: dict[str, Any] = {"adapter": adapter, "weights": weights, "mask": mask, "convention": convention}
    options |= {"args": args, "inside": inside, "init": init}
    verdicts = [check(f, kinds[0], source=s, **options) for f, s in zip((first, second), sources, strict=True)]
    conventions = [_as_judged(tiers, verdict) for tiers, verdict in zip(ways, verdicts, strict=True)]
    lowered = any("dtype-lowered" in verdict.hazards for verdict in verdicts)
    compared = _compare(*_with_shared_arguments(*conventions), lowered)
    return Difference(verdicts[0], verdicts[1], *compared, _exchanged(*conventions))


def _as_judged(tiers: list[list[CallingConvention]], verdict: Verdict) -> CallingConvention:
    """The way of calling of a verdict, or else the first; without sizes of blocks with which it was not right."""
    every = (convention for tier in tiers for convention in tier)
    judged = next((one for one in every if in_words(one) == verdict.calling_convention), tiers[0][0])
    fixed = {n: value for n, value in judged.fixed.items() if not any(f"{n}=1" in words for words in verdict.untested)}
    return replace(judged, fixed=fixed)


def _exchanged(*conventions: CallingConvention) -> tuple[dict[str, str], dict[str, str]]:
    """The arguments of one name that mean something else in each of two functions, and the entries that say so.

    A mask of numbers to add is of another type than one of True and False, and passes for none.
    """
    a, b = conventions
    shared = {role: name for role, name in a.names.items() if isinstance(name, str) and b.names.get(role) == name}
    masks = [role for role in ("mask", "padding") if {a.senses[role], b.senses[role]} == {"attends", "hides"}]
    masks = [role for role in masks if role in shared]
    oriented = a.matrices != b.matrices and a.load is None and b.load is None
    matrices = [name for role, name in shared.items() if role[0] == "W" and oriented]
    first, second = (
        {shared[role]: "mask-inverted" for role in masks if one.senses[role] == "hides"}
        | {name: "weights-transposed" for name in matrices if one.matrices == "in-out"}
        for one in conventions
    )
    return first, second


def _with_shared_arguments(a: CallingConvention, b: CallingConvention) -> tuple[CallingConvention, CallingConvention]:
    """Both with the arguments that both take, so that they can be called on the same probes."""
    first, second = a.interface, b.interface
    sizes = [i.sizes for i in (first, second) if i.sizes is not None]
    if any(s != sizes[0] for s in sizes):
        raise DataError(f"second: expected a module of the first's sizes, {sizes[0]}; got {sizes[1]}.")
    axes = [min(i.axes, j.axes, key=len) if len(i.axes) != len(j.axes) else i.axes for i, j in ((first, second),) * 2]
    shared = replace(
        first,
        takes=first.takes & second.takes,
        needs=first.needs | second.needs,
        axes=axes[0],
        batched=first.batched and second.batched,
        key_mask=first.key_mask or second.key_mask,
        sizes=sizes[0] if sizes else None,
    )
    both = [replace(shared, axes=i.axes if len(i.axes) == len(shared.axes) else shared.axes) for i in (first, second)]
    return replace(a, interface=both[0]), replace(b, interface=both[1])


def _compare(
    a: CallingConvention, b: CallingConvention, lowered: bool
) -> tuple[int, float, float, tuple[str, ...], int, tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]]]:
    """The numbers of a `Difference`: on how many inputs, by how much, and with which kinds of them outputs differ.

    `lowered` if one of the two computes in float32, so that they may differ by its rounding.
    """
    rng = np.random.default_rng(20260)
    lowered = lowered or any(c.lowers or c.interface.dtype == "float32" for c in (a, b))
    rounding = PRECISIONS["float32" if lowered else "float64"]
    count, errors = 0, dict[str, float]()
    accepted: tuple[set[str], set[str]] = (set(), set())
    for probe in (p for number in (0, 1) for p in probes(a.interface, number, rng) if p.name != "float32"):
        first, second = (c.call(probe.case).output for c in (a, b))
        for names, output in zip(accepted, (first, second), strict=True):
            names |= {probe.name} if output is not None else set()
        if first is None or second is None:
            continue
        count += 1
        error, (*_, n, m) = difference(second, first), grid(probe.case)
        early = max(n - m, 0)  # queries before the first key, if the last is aligned with the last
        if error > rounding and early and not all(np.nan_to_num(a[..., :early, :]).any() for a in (first, second)):
            errors["empty-rows"] = max(errors.get("empty-rows", 0.0), error)
            error = difference(second[..., early:, :], first[..., early:, :])
        errors[probe.name] = max(errors.get(probe.name, 0.0), error)
    allowed = {"large-logits": LARGE_LOGITS} if rounding == PRECISIONS["float32"] else {}
    differing = [name for name, error in errors.items() if error > allowed.get(name, rounding)]
    ordinary = [name for name in errors if name not in EDGES]
    where = tuple(PROBES[name] for name in differing if name in ordinary)
    edge_cases = tuple(PROBES[name] for name in differing if name in EDGES and not where)
    largest = max((errors[name] for name in ordinary), default=0.0)
    refused = [
        tuple(PROBES[name] for name in PROBES if name in one - other) for one, other in (accepted[::-1], accepted)
    ]
    return count, largest, rounding, where, len(ordinary) - len(where), edge_cases, (refused[0], refused[1])
