"""From a function to a verdict: call it on every probe first, then explain what it returned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headwise.checker.assessment import to_verdict
from headwise.checker.attended import attended_keys, built_in_limits, is_equivariant
from headwise.checker.conventions import Requirements
from headwise.checker.detection import conventions_of_target, in_words, infer_calling_conventions
from headwise.checker.documentation import Documentation, document
from headwise.checker.examination import Findings, examine, explain_at_level, explain_what_is_left
from headwise.checker.invocation import CallingConvention
from headwise.checker.locate import source_of
from headwise.checker.modules import find_targets, is_module
from headwise.checker.numpy_guard import np
from headwise.checker.refusal import UncallableError
from headwise.checker.target import Target
from headwise.checker.verdict import Verdict

__all__ = ["check"]


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
    with np.errstate(all="ignore"):  # what overflows is part of the verdict
        if adapter is None and is_module(function):
            return _check_targets(find_targets(function, init=init, inside=inside), kind, requirements, rng)
        text = source if source is not None else source_of(function)
        tiers = infer_calling_conventions(function, kind, adapter, text, requirements)
        documentation = document(function, text)
        findings = _judge(tiers, documentation, requirements, rng)
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
        judged = _Judged(target, _judge(tiers, documentation, requirements, rng, thorough=best is None))
        if best is None or judged.rank < best.rank:
            best = judged
        if best.rank == (0, 0, 0) or best.rank[0] == 0:
            break
    if best is None:
        assert refusal is not None
        raise refusal
    target = best.target
    return to_verdict(
        target.name, best.findings, target.source, target.function, _fresh(rng), target.components, target.conventions
    )


def _judge(
    tiers: list[list[CallingConvention]],
    documentation: Documentation,
    requirements: Requirements,
    rng: np.random.Generator | None,
    thorough: bool = True,
) -> Findings:
    """Explain the fullest way of calling, and simpler ones as long as nothing does."""
    first: Findings | None = None
    for tier in tiers:
        findings = _best(
            _alternatives(tier, documentation, requirements), documentation, rng, thorough and first is None
        )
        if findings.explanation is not None:
            return findings if first is None else _partly(findings, first)
        first = first or findings
    assert first is not None
    return first


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
    aligned = {"align": documentation.alignment} if documentation.alignment and "align" not in interface.takes else {}

    def limited(limits: dict[str, Any], *codes: str) -> CallingConvention:
        return replace(convention, interface=replace(interface, implicit=limits | aligned), built_in=codes)

    if requirements.causal or (documentation.causal and not {"causal", "mask"} & interface.takes):
        return [limited({"causal": True}, "causal-unasked")]
    if "causal" in interface.takes:
        return [limited({})]
    if is_equivariant(convention):
        return [convention]
    attended = attended_keys(convention)
    limits = {} if attended is None else built_in_limits(attended)
    if limits:
        return [limited(limits, "causal-unasked" if "causal" in limits else "window-built-in")]
    hidden = [limited({"causal": True}, "causal-unasked")] if documentation.mentions_causal else []
    return [convention, *hidden]


def _best(
    alternatives: list[CallingConvention],
    documentation: Documentation,
    rng: np.random.Generator | None,
    thorough: bool,
) -> Findings:
    """The findings that cost least: of all alternatives with one mistake at most, then with more."""
    examined = []
    for convention in alternatives:
        examination = examine(convention, _fresh(rng))
        examined.append(examination)
        findings = explain_at_level(examination, 0)
        if findings is not None and findings.rank[0] == 0 and not examination.refusals:
            return findings
    fewest = min(examination.refusals for examination in examined)
    explained: list[tuple[tuple[int, ...], Findings]] = []
    likeliest = next(e for e in examined if e.refusals == fewest)
    rivals = sum(examination.refusals == fewest for examination in examined) > 1
    for level in (0, 1, 2, 4) if rivals and thorough else (0, 1, 4) if thorough else (0, 1, 2):
        for place, examination in enumerate(examined):
            more = examination.refusals > fewest  # probably not how the function wants its arguments
            if place and level > 1 and (more or (level == 4 and examination is not likeliest)):
                continue
            findings = explain_at_level(examination, level)
            if findings is not None and not (place and more and findings.rank[0]):
                explained.append(((findings.rank[0] + 2 * more, *findings.rank[1:], place), findings))
        if explained and min(explained, key=_cost)[0][0] <= level:
            break
    if explained:
        return min(explained, key=_cost)[1]
    return explain_what_is_left(examined[0], _fresh(rng), documentation.random)


def _cost(explained: tuple[tuple[int, ...], Findings]) -> tuple[int, ...]:
    return explained[0]


def _fresh(rng: np.random.Generator | None) -> np.random.Generator:
    return np.random.default_rng(20260 if rng is None else int(rng.integers(2**62)))
