"""From a function to a verdict: call it on every probe first, then explain what it returned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headwise.checker.acceptance import in_words
from headwise.checker.assessment import to_verdict
from headwise.checker.attended import attended_keys, built_in_limits, causal_window, is_equivariant, pattern_of_keys
from headwise.checker.cached import with_cached_step
from headwise.checker.conventions import Requirements
from headwise.checker.detection import conventions_of_target, infer_calling_conventions
from headwise.checker.documentation import Documentation, document
from headwise.checker.examination import (
    Examination,
    Findings,
    examine,
    explain_at_level,
    explain_what_is_left,
)
from headwise.checker.invocation import CallingConvention
from headwise.checker.locate import source_of
from headwise.checker.measured_norm import designs_with_norm
from headwise.checker.measured_rotation import design_with_rotation
from headwise.checker.modules import find_targets, is_module, one_thread
from headwise.checker.numpy_guard import np
from headwise.checker.probes import first_probe
from headwise.checker.recovery import is_softmax, measured_design, recovered_runs
from headwise.checker.refusal import CheckError, UncallableError
from headwise.checker.returned_caches import with_returned_caches
from headwise.checker.target import Target
from headwise.checker.time_limit import deadline, limited_time, share_of_time
from headwise.checker.verdict import Verdict
from headwise.errors import DataError, HeadwiseError, describe_exception

__all__ = ["check"]

_ANY = 4  # as many mistakes at once as are looked for
_MEASURED = 3  # one, or what the attention weights show: for modules with tables, which are emptied next
_FUNCTION_SECONDS, _MODULE_SECONDS = 2.5, 4.0  # of processor time; a module is searched once for each of its readings


def check(
    function: Callable[..., Any],
    kind: str = "auto",
    *,
    adapter: Callable[..., Any] | str | None = None,
    weights: str = "any",
    mask: str = "any",
    convention: str | Iterable[str] = (),
    args: str | Iterable[str] = (),
    inside: str | None = None,
    init: str | Mapping[str, Any] | None = None,
    source: str | None = None,
    rng: np.random.Generator | None = None,
) -> Verdict:
    r"""Find out whether a function or module is attention, and if it is not, which mistake it has.

    A mistake is named only if the definition *with that mistake put in* reproduces what the function returns to
    rounding, also on inputs that were not used to choose it, and the definition without it does not.

    Parameters
    ----------
    function : callable or module
        Self-attention of (X, Wq, Wk, Wv), multi-head attention of the same with `heads` and perhaps `Wo`,
        cross-attention with a context, attention of (q, k, v), or a module or object that holds its own weights. Which
        argument is which is inferred from the names, else from the order; layouts, orientations and the sense of masks
        from the documentation, else by trying. It returns the output, or output and weights.
    kind : {"auto", "self_attention", "multi_head", "cross_attention", "attention"}
        What it is meant to be.
    adapter : callable or "torch", optional
        ``adapter(function, **arguments)`` makes the call, for a function that wants its arguments in another way; the
        names of its parameters are those of the reference. ``"torch"`` passes tensors to the function.
    weights : {"any", "out-in", "in-out"}
        The orientation that its matrices must have; with ``"any"`` both are right.
    mask : {"any", "attends", "hides"}
        What True in its mask must mean; with ``"any"`` both are right, unless the documentation states one.
    convention : str or iterable of str
        Conventions that it must follow, such as ``"tokens-before-heads"``; not following one is a mistake.
    args : str or iterable of str
        What its positional arguments are, in order: ``"X,Wv,Wq,Wk"``.
    inside : str, optional
        The name of a part of a module to check, such as ``"layers.0.attn"``.
    init : str or mapping, optional
        The arguments with which to make an instance of a class, such as ``"d_model=12, n_heads=3"``; inferred from
        their names by default.
    source : str, optional
        The function's source text, where it cannot be found from the function.
    rng : Generator, optional
        Where the inputs come from; the same ones every time by default.

    Returns
    -------
    Verdict
        With ``ok``, ``mistakes``, ``hazards``, ``conventions``, ``untested`` and ``report()``.

    Raises
    ------
    DataError
        If an option is not one of those there are, or `function` is not callable.
    UncallableError
        If the function cannot be called as any kind of attention.
    CheckError
        If the check itself fails on what the function returns.

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
    requirements = Requirements.of(weights, mask, convention, args)
    try:
        with np.errstate(all="ignore"), one_thread():  # what overflows is part of the verdict
            if adapter is None and is_module(function):
                with limited_time(_MODULE_SECONDS):
                    return _check_targets(find_targets(function, init=init, inside=inside), kind, requirements, rng)
            with limited_time(_FUNCTION_SECONDS):
                return _check_function(function, kind, adapter, requirements, source, rng)
    except HeadwiseError:
        raise
    except Exception as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise CheckError(
            f"function: the check of {name} failed with {describe_exception(error)}. This is a defect of Headwise,"
            " not a verdict; an adapter= that passes and returns plain arrays may avoid it."
        ) from error


def _check_function(
    function: Callable[..., Any],
    kind: str,
    adapter: Callable[..., Any] | str | None,
    requirements: Requirements,
    source: str | None,
    rng: np.random.Generator | None,
) -> Verdict:
    text = source if source is not None else source_of(function)
    tiers = infer_calling_conventions(function, kind, adapter, text, requirements)
    documentation = document(function, text)
    findings = with_returned_caches(_judge(tiers, documentation, requirements, rng))
    name = documentation.name or type(function).__name__
    return to_verdict(name, findings, text, documentation.name, _fresh(rng))


@dataclass(frozen=True, slots=True)
class _Judged:
    """A target and what was found of it."""

    target: Target
    findings: Findings

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.findings.rank


def _check_targets(
    targets: Iterable[Target], kind: str, requirements: Requirements, rng: np.random.Generator | None
) -> Verdict:
    """Judge the alternatives in order, and keep the one with the fewest mistakes."""
    best: _Judged | None = None
    refusal: UncallableError | None = None
    for target in targets:
        try:
            tiers = conventions_of_target(target, kind, requirements)
        except UncallableError as error:
            refusal = refusal or error
            continue
        documentation = replace(document(target.forward, target.source, target.function), name=target.name)
        first = _MEASURED if target.empty_tables is not None else _ANY
        most = first if best is None else min(2, best.rank[0] - 1)
        judged = _Judged(target, _judge(tiers, documentation, requirements, rng, most))
        if best is None or judged.rank < best.rank:
            best = judged
        if best.rank[0] == 0:
            break
    if best is None:
        assert refusal is not None
        raise refusal
    best = _with_ignored_parts(_without_tables(best, kind, requirements, rng))
    target = best.target
    if best.findings.explanation is None and target.neutral:
        raise DataError(
            f"{target.name}: it learns more than the projections of attention: {', '.join(target.neutral)}. With these"
            " at zero nothing explains its output, and what they are for is not known. To check only its attention,"
            " pass a module that has no more."
        )
    return to_verdict(
        target.name,
        with_cached_step(best.findings),
        target.source,
        target.function,
        _fresh(rng),
        target.components,
        target.conventions,
    )


def _without_tables(judged: _Judged, kind: str, requirements: Requirements, rng: np.random.Generator | None) -> _Judged:
    """The same, or what explains a module whose tables of positions are empty.

    What the tables do is then not tested, but for this: with them the weights are still those of a softmax.
    """
    target, untested = judged.target, judged.target.neutral
    if judged.findings.explanation is None and target.empty_tables is not None:
        runs = recovered_runs(judged.findings.convention, first_probe(judged.findings.convention.interface).case)
        target.empty_tables()
        documentation = replace(document(target.forward, target.source, target.function), name=target.name)
        findings = _judge(conventions_of_target(target, kind, requirements), documentation, requirements, rng)
        if findings.explanation is not None and (findings.rank[0] or all(map(is_softmax, runs))):
            judged = _Judged(target, replace(findings, observed=(*findings.observed, "position-bias")))
            untested = (*untested, *target.tables)
    convention = judged.findings.convention
    unused = (*convention.unused, *(f"{name} (zero in this check)" for name in untested))
    return replace(judged, findings=replace(judged.findings, convention=replace(convention, unused=unused)))


def _with_ignored_parts(judged: _Judged) -> _Judged:
    """With the mistake of a module that rotates queries and keys or stores a softcap, where nothing shows of it."""
    target, findings = judged.target, judged.findings
    codes, explained = " ".join((*findings.codes, *findings.conventions)), findings.explanation is not None
    if (
        explained
        and target.rotates is not None
        and "rope" not in codes
        and "position" not in codes
        and target.rotates()
    ):
        findings = replace(findings, observed=(*findings.observed, "rope-axis"))
    if explained and target.capped and "softcap" not in codes:
        findings = replace(findings, observed=(*findings.observed, "softcap-ignored"))
    return replace(judged, findings=findings)


def _judge(
    tiers: list[list[CallingConvention]],
    documentation: Documentation,
    requirements: Requirements,
    rng: np.random.Generator | None,
    most: int = _ANY,
) -> Findings:
    """Explain the fullest way of calling with so many mistakes, and simpler ones as long as nothing does."""
    first: Findings | None = None
    simpler: list[Findings] = []
    for tier in tiers:
        alternatives = _alternatives(tier, documentation, requirements)
        findings = _best(alternatives, documentation, rng, most if first is None else min(1, most))
        if findings.explanation is not None and first is None:
            return findings
        if findings.explanation is not None:
            simpler.append(findings)
        first = first or findings
        if findings.rank[0] == 0:
            break
    assert first is not None
    if not simpler:
        return first
    best = min(simpler, key=lambda findings: findings.rank)
    return best if best.rank[0] == 0 and _returns_lists(best) else _partly(best, first)


def _returns_lists(findings: Findings) -> bool:
    """Whether a function returns lists of numbers: its loops are over the rows of a matrix, not made for a batch."""
    return all(a.response.framework in ("builtins", "") for a in findings.rounds[0])


def _partly(simpler: Findings, full: Findings) -> Findings:
    """A function that only a simpler way of calling explains: it is not right in the other."""
    note = (
        f"Called with {in_words(full.convention)}, it returns something that nothing explains; the rest of this"
        f" verdict is for {in_words(simpler.convention)}."
    )
    return replace(simpler, unexplained=True, notes=(note, *simpler.notes))


def _alternatives(
    tier: list[CallingConvention], documentation: Documentation, requirements: Requirements
) -> list[CallingConvention]:
    """The conventions of a tier, each with the limits that may be built into the function."""
    return [limited for c in tier for limited in _with_built_in_limits(c, documentation, requirements)]


def _with_built_in_limits(
    convention: CallingConvention, documentation: Documentation, requirements: Requirements
) -> list[CallingConvention]:
    """With the limits that are documented or measured; as an alternative causal, where another mistake may hide it."""
    interface = convention.interface
    alignment = "end" if "kpast" in convention.names else documentation.alignment
    aligned = {"align": alignment} if alignment and "align" not in interface.takes else {}

    def limited(limits: dict[str, Any], *codes: str) -> CallingConvention:
        return replace(convention, interface=replace(interface, implicit=limits | aligned), built_in=codes)

    stated = documentation.causal and not {"causal", "mask"} & interface.takes
    if requirements.causal or "prefix" in interface.takes or stated:
        windowed = "window" in documentation.source.lower() and "window" not in interface.takes
        if windowed and (left := causal_window(convention)) is not None:
            return [limited({"causal": True, "window": (left, None)}, "causal-unasked", "window-built-in")]
        return [limited({"causal": True}, "causal-unasked")]
    if interface.cached and interface.of_tokens:
        return [limited({"causal": True, "align": "end"})]
    if "causal" in interface.takes:
        return [limited({})]
    convention = replace(convention, equivariant=is_equivariant(convention))
    if convention.equivariant:
        return [convention]
    attended = attended_keys(convention)
    limits = {} if attended is None else built_in_limits(attended)
    if limits:
        return [limited(limits, "causal-unasked" if "causal" in limits else "window-built-in")]
    if attended is not None and documentation.patterned and not attended.all():
        return [replace(convention, design=(*convention.design, pattern_of_keys(convention)))]
    hidden = [limited({"causal": True}, "causal-unasked")] if documentation.mentions_causal else []
    return [*hidden, convention]


def _best(
    alternatives: list[CallingConvention],
    documentation: Documentation,
    rng: np.random.Generator | None,
    most: int,
) -> Findings:
    """The findings that cost least: of all alternatives with one mistake at most, then with more."""
    examined = []
    for convention in alternatives:
        examination = examine(convention, _fresh(rng))
        examined.append(examination)
        right = explain_at_level(examination, 0)
        if right is not None and right.rank[0] == 0 and not examination.refusals:
            return right
    fewest = min(examination.refusals for examination in examined)
    explained: list[tuple[tuple[int, ...], Findings]] = []
    likely = [examination for examination in examined if examination.refusals == fewest]
    for step, level in enumerate(_levels(most, len(likely))):
        if most >= _MEASURED and step == 2 and not explained:
            measured = [_as_measured(examination, documentation, rng) for examination in likely]
            if as_measured := [findings for findings in measured if findings is not None]:
                return min(as_measured, key=lambda findings: findings.rank)
            if most == _MEASURED:
                break
        for place, examination in enumerate(examined):
            more = examination.refusals > fewest  # probably not how the function wants its arguments
            if place and level > 1 and (more or (level == 4 and examination is not likely[0])):
                continue
            others = sum(other in likely for other in examined[place + 1 :]) if level > 1 else 0
            with share_of_time(1 + others):
                findings_or_none = explain_at_level(examination, level)
            if findings_or_none is not None and not (place and more and findings_or_none.rank[0]):
                rank = findings_or_none.rank
                other_way = "weights-transposed" in findings_or_none.codes  # rather a convention than a mistake
                explained.append(((rank[0] + 2 * more, other_way, *rank[1:], place), findings_or_none))
                if level > 1 and not more:
                    break
        if explained and min(explained, key=_cost)[0][0] <= level:
            break
    if explained:
        return min(explained, key=_cost)[1]
    plain = next((e for e in examined if not e.convention.built_in), examined[0])
    return explain_what_is_left(plain, _fresh(rng), documentation.random)


def _levels(most: int, alternatives: int) -> tuple[int, ...]:
    """How many mistakes are looked for at once, in this order."""
    if most < _MEASURED:
        return tuple(range(most + 1))
    return (0, 1, 2, 4) if alternatives > 1 else (0, 1, 4)


def _as_measured(
    examination: Examination, documentation: Documentation, rng: np.random.Generator | None
) -> Findings | None:
    """What explains a function once its attention weights are known; None if they show nothing."""
    convention = examination.convention
    norms = designs_with_norm(convention)
    for most in (1, 2) if norms else ():
        own = [replace(convention, design=(*convention.design, *norm)) for norm in norms]
        found = []
        for one in own:
            if time.thread_time() > deadline():
                break
            found += [f for f in [_best([one], documentation, rng, most)] if f.explanation is not None]
            if found and found[-1].rank[:2] == (0, 0):
                break
        if found:
            return min(found, key=lambda findings: findings.rank)
    measured = measured_design(convention)
    if not measured.known_scale:
        return explain_what_is_left(examination, _fresh(rng), documentation.random)
    design = measured.design or design_with_rotation(convention, first_probe(convention.interface).case)
    if not design:
        return None
    findings = _best([replace(convention, design=(*convention.design, *design))], documentation, rng, most=2)
    return findings if findings.explanation is not None else None


def _cost(explained: tuple[tuple[int, ...], Findings]) -> tuple[int, ...]:
    return explained[0]


def _fresh(rng: np.random.Generator | None) -> np.random.Generator:
    return np.random.default_rng(20260 if rng is None else int(rng.integers(2**62)))
