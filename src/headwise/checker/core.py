"""From a function to a verdict: ask everything first, then explain the answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

from headwise.checker.catalogue import CATALOGUE
from headwise.checker.counterexample import find_smallest
from headwise.checker.dropout_detection import detect_dropout
from headwise.checker.invocation import CallingConvention
from headwise.checker.locate import find_locations, source_of
from headwise.checker.numpy_guard import np
from headwise.checker.probes import PROBES, probes
from headwise.checker.properties import verify_properties
from headwise.checker.search import Agreement, Explanation, Observation, explain, fits, worst
from headwise.checker.signatures import in_words, infer_calling_conventions
from headwise.checker.verdict import ProbeResult, Verdict

__all__ = ["Findings", "check", "examine"]

_EDGES = ("empty-rows", "hidden-nan", "large-logits", "float32")


@dataclass(frozen=True, slots=True)
class Findings:
    """What one way of calling a function brought to light.

    Attributes
    ----------
    caller : Caller
        How it was called.
    rounds : tuple of lists of Asked
        Every question and answer, one list a round.
    explanation : Explanation or None
        What explains the answers; None if nothing does.
    watched : tuple of str
        Codes of mistakes that are seen by watching: types, arguments written into, dropout.
    notes : tuple of str
        What the explanation leaves out.
    """

    caller: CallingConvention
    rounds: tuple[list[Observation], list[Observation]]
    explanation: Explanation | None
    watched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The mistakes, in the order of the catalogue."""
        found = {*(self.explanation.codes if self.explanation else ()), *self.watched}
        return tuple(code for code in CATALOGUE if code in found)


def check(
    function: Callable[..., Any],
    kind: str = "auto",
    *,
    adapter: Callable[..., Any] | str | None = None,
    source: str | None = None,
    rng: np.random.Generator | None = None,
) -> Verdict:
    r"""Find out whether a function is attention, and if it is not, which mistake it holds.

    A mistake is named only if the definition *with that mistake put in* gives the function's answers to rounding, on
    inputs on which it was not chosen too, and the definition without it does not.

    Parameters
    ----------
    function : callable
        Self-attention of (X, Wq, Wk, Wv), multi-head attention of the same with `heads` and perhaps `Wo`, or attention
        of (q, k, v). Which argument is which is read from the names, else from the order; whether there is a batch
        axis, a head axis, or tokens as columns is found by trying. It returns the output, or output and weights.
    kind : {"auto", "self_attention", "multi_head", "attention"}
        What it is meant to be.
    adapter : callable or "torch", optional
        ``adapter(function, **arguments)`` makes the call, for a function that wants its arguments in another way;
        the names of its arguments say which it is given. ``"torch"`` gives the function tensors.
    source : str, optional
        The function's source text, where it cannot be found from the function.
    rng : Generator, optional
        Where the inputs come from; the same ones every time by default.

    Returns
    -------
    Verdict
        With ``ok``, ``mistakes`` (codes of the catalogue) and ``report()``.

    Raises
    ------
    DataError
        If `kind` or `adapter` is none of those there are, or `function` is not callable.
    UncallableError
        If the function cannot be called as any kind of attention.

    Examples
    --------
    >>> import numpy as np
    >>> def attention(X, Wq, Wk, Wv):
    ...     q, k, v = X @ Wq.T, X @ Wk.T, X @ Wv.T
    ...     s = q @ k.T
    ...     p = np.exp(s - s.max(axis=1, keepdims=True))
    ...     return p / p.sum(axis=1, keepdims=True) @ v
    >>> check(attention).mistakes
    ('scale-missing',)
    """
    with np.errstate(all="ignore"):  # what overflows is for the verdict to tell
        return _checked(function, kind, adapter, source, rng)


def _checked(
    function: Callable[..., Any],
    kind: str,
    adapter: Callable[..., Any] | str | None,
    source: str | None,
    rng: np.random.Generator | None,
) -> Verdict:
    text = source if source is not None else source_of(function)
    ways = infer_calling_conventions(function, kind, adapter, text)
    findings = _judged(ways, rng)
    if ways[0].transposed and findings.codes:  # it says (in, out), and may still be right the other way
        other = _judged([replace(way, transposed=False) for way in ways], rng)
        findings = findings if other.codes or other.explanation is None else other
    return _verdict(function, findings, text, _fresh(rng))


def _judged(ways: list[CallingConvention], rng: np.random.Generator | None) -> Findings:
    """Examine the first way of calling, and simpler ones as long as nothing explains the answers."""
    findings = examine(ways[0], _fresh(rng))
    for way in ways[1:]:
        if findings.explanation is not None:
            break
        simpler = examine(way, _fresh(rng))
        if simpler.explanation is not None:
            note = f"With {in_words(ways[0])} it answers in a way that nothing explains; judged with {in_words(way)}."
            findings = replace(simpler, notes=(*simpler.notes, note))
    return findings


def _fresh(rng: np.random.Generator | None) -> np.random.Generator:
    return np.random.default_rng(20260 if rng is None else int(rng.integers(2**62)))


def examine(caller: CallingConvention, rng: np.random.Generator) -> Findings:
    """Ask everything, and explain the answers."""
    first, second = (
        [Observation(p, caller.ask(p.case)) for p in probes(caller.face, number, rng)] for number in (0, 1)
    )
    rounds = (first, second)
    watched = _watched(first + second)
    if not _repeats(caller, first[0]):
        return _with_dropout(Findings(caller, rounds, None, watched), rng)
    # a coarse comparison proves less: two mistakes need answers that are numbers of the narrower type
    rounded = {t: all(_is_of(a, t) for a in first if not a.narrow) for t in ("float32", "float16")}
    for precision, most in (("float64", 4), ("float32", 2 if rounded["float32"] else 1), ("float16", 2)):
        if precision == "float16" and not rounded["float16"]:
            continue
        found, left = _explained(caller, rounds, fits(precision), most)
        if precision == "float64" and left and _beside_the_point(caller, found, left):
            what = " and ".join(dict.fromkeys(PROBES[a.probe.name] for a in left))
            return Findings(caller, rounds, found, watched, notes=(f"What it does with {what} is not explained.",))
        if not left and not (found.codes or _answers_what_is_ordinary(first + second)):
            break
        if not left:
            lowered = ("dtype-lowered",) if precision != "float64" else ()
            return Findings(caller, rounds, found, (*watched, *lowered))
    findings = Findings(caller, rounds, None, watched)
    return _but_for_weights(_with_dropout(findings, rng))


def _explained(
    caller: CallingConvention, rounds: tuple[list[Observation], list[Observation]], agrees: Agreement, most: int
) -> tuple[Explanation, list[Observation]]:
    """As `explain`; for heads first without the matrices that are not D × D, of which many make nothing sensible."""
    if caller.face.kind != "multi_head":
        return explain(*rounds, agrees, most=most)
    first, second = ([a for a in asked if a.probe.name != "wide"] for asked in rounds)
    found, left = explain(first, second, agrees, most)
    if left:
        return found, left
    also, left = explain(*rounds, agrees, most=len(found.codes))
    if not left:
        return also, left
    return found, [a for asked in rounds for a in asked if a.reply.output is not None and not agrees(found, a)]


def _answers_what_is_ordinary(asked: list[Observation]) -> bool:
    return all(a.reply.output is not None for a in asked if a.probe.name in ("plain", "sharp"))


def _beside_the_point(caller: CallingConvention, found: Explanation, left: list[Observation]) -> bool:
    """Whether what is left unexplained may be: the corners, beside a mistake; or matrices not D × D, for heads."""
    corners = {"wide"} if caller.face.kind == "multi_head" else set()
    return {a.probe.name for a in left} <= (corners | set(_EDGES) if found.codes else corners)


def _is_of(asked: Observation, of_type: str) -> bool:
    output = asked.reply.output
    return output is None or bool((output.astype(of_type) == output)[np.isfinite(output)].all())


def _repeats(caller: CallingConvention, asked: Observation) -> bool:
    again = caller.ask(asked.probe.case).output
    return again is not None and asked.reply.output is not None and again.tobytes() == asked.reply.output.tobytes()


def _watched(asked: list[Observation]) -> tuple[str, ...]:
    found = []
    if any(a.reply.changed for a in asked):
        found.append("input-changed")
    narrower = {False: ("float32", "float16", "bfloat16"), True: ("float16", "bfloat16")}
    if any(a.reply.dtype in narrower[a.narrow] for a in asked):
        found.append("dtype-lowered")
    return tuple(found)


def _with_dropout(findings: Findings, rng: np.random.Generator) -> Findings:
    found = detect_dropout(findings.caller, rng)
    if found is None:
        return findings
    return replace(findings, explanation=found, watched=(*findings.watched, "dropout-active"))


def _but_for_weights(findings: Findings) -> Findings:
    """Explain the output alone, where weights came with it that nothing explains."""
    first, second = findings.rounds
    if findings.explanation is not None or not any(a.reply.weights is not None for a in first):
        return findings
    first, second = ([replace(a, reply=replace(a.reply, weights=None)) for a in r] for r in (first, second))
    found, left = explain(first, second, fits("float64"), most=1)
    if left or not found.codes:
        return findings
    return replace(findings, explanation=found, notes=("The weights that it returns are not explained.",))


def _verdict(function: Callable[..., Any], findings: Findings, source: str, rng: np.random.Generator) -> Verdict:
    caller, explanation = findings.caller, findings.explanation
    asked = [a for r in findings.rounds for a in r]
    known = verify_properties(caller, asked, rng)
    codes = findings.codes
    if explanation is None:
        holds = {fact.name: fact.holds for fact in known}
        scrambled = holds.get("deterministic") and holds.get("permutation-equivariant") is False
        codes = (*codes, "tokens-scrambled" if scrambled else "unknown")
    answered = [a for a in asked if a.reply.output is not None]
    name = str(getattr(function, "__name__", type(function).__name__))
    return Verdict(
        name=name,
        kind=caller.face.kind,
        read_as=in_words(caller),
        ok=not codes,
        mistakes=codes,
        tried=_tried(asked),
        inputs=len(answered),
        difference=_closeness(explanation, answered, codes),
        facts=known,
        example=find_smallest(caller, asked, rng) if codes else None,
        places=find_locations(source, name, codes),
        notes=(*findings.notes, *_refusals(asked)),
    )


def _closeness(explanation: Explanation | None, answered: list[Observation], codes: tuple[str, ...]) -> float:
    """Over the float64 inputs: how far float32 answers may be says nothing."""
    if explanation is None or "dropout-active" in codes:
        explanation = Explanation()
    wide = [a for a in answered if not a.narrow] or answered
    return max((worst(explanation, a) for a in wide), default=0.0)


def _tried(asked: list[Observation]) -> tuple[ProbeResult, ...]:
    plain, found = Explanation(), []
    for name, says in PROBES.items():
        group = [a for a in asked if a.probe.name == name]
        if not group:
            continue
        answers = [a for a in group if a.reply.output is not None]
        agrees = all(fits("float64")(plain, a) for a in answers) if answers else None
        found.append(
            ProbeResult(name, says, len(answers), agrees, max((worst(plain, a) for a in answers), default=0.0))
        )
    return tuple(found)


def _refusals(asked: list[Observation]) -> tuple[str, ...]:
    refused: dict[str, str] = {}
    for a in asked:
        if a.reply.output is None and a.probe.name != "groups":  # a variant of its own, that nobody need offer
            refused.setdefault(PROBES[a.probe.name], shorten(a.reply.error, 110))
    return tuple(f"Not judged, because it refuses: {says} ({error})." for says, error in refused.items())
