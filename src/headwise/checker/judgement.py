"""The explanation of a function or module: of all ways of calling it, and of all numbers of mistakes, the cheapest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.catalogue.scaling import OTHER_SCALE
from headwise.checker.detection.acceptance import in_words
from headwise.checker.measurement.influence import (
    attended_keys,
    built_in_limits,
    causal_window,
    is_equivariant,
    pattern_of_keys,
    sees_windows_of_grid,
)
from headwise.checker.measurement.norm import designs_with_norm
from headwise.checker.measurement.recovery import measured_design
from headwise.checker.measurement.rotation import design_with_rotation
from headwise.checker.probes import first_probe
from headwise.checker.reference.conventions import Requirements
from headwise.checker.search.built_in_designs import with_built_in_designs
from headwise.checker.search.effort import evaluations, limit, share_of_evaluations
from headwise.checker.search.examination import Examination, examine, explain_at_level, explain_what_is_left
from headwise.checker.search.findings import Findings
from headwise.checker.user_code.numpy_guard import np

ANY = 4  # as many mistakes at once as are looked for
_MORE_TOKENS = 24  # where fewer do not show a pattern
MEASURED = 3  # one, or what the attention weights show: for modules with tables, which are emptied next


def judge(
    tiers: Iterable[list[CallingConvention]],
    documentation: Documentation,
    requirements: Requirements,
    rng: np.random.Generator | None,
    most: int = ANY,
    least: int = 0,
) -> Findings:
    """Explain the fullest way of calling with so many mistakes, and simpler ones as long as nothing does.

    `least`: how many there are at least, where fewer are known to explain nothing.
    """
    first: Findings | None = None
    simpler: list[Findings] = []
    for tier in tiers:
        alternatives = _alternatives(tier, documentation, requirements)
        findings = _best(alternatives, documentation, rng, most if first is None else min(1, most), least)
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
    limited = [one for c in tier for one in _with_built_in_limits(c, documentation, requirements)]
    return [one for convention in limited for one in with_built_in_designs(convention, documentation)]


def _with_built_in_limits(
    convention: CallingConvention, documentation: Documentation, requirements: Requirements
) -> list[CallingConvention]:
    """With the limits that are documented or measured; as an alternative causal, where another mistake may hide it."""
    interface = convention.interface
    alignment = "end" if "kpast" in convention.names else documentation.alignment
    passed = {"align"} if "kpast" in convention.names else {"align", "offset"}  # what says it with each call
    aligned = {"align": alignment} if alignment and not passed & interface.takes else {}

    def limited(limits: dict[str, Any], *codes: str) -> CallingConvention:
        implicit = {**interface.implicit, **limits, **aligned}
        return replace(convention.with_interface(implicit=implicit), built_in=codes)

    masked = "mask" in interface.takes and not interface.key_mask  # a mask of keys alone makes nothing causal
    stated = documentation.causal or documentation.drops_causal_mask
    stated = stated and "causal" not in interface.takes and not masked
    if documentation.patterned:
        unset = _with_window_unset(convention)
        if _has_pattern(unset, bool(requirements.causal or stated)):
            return [replace(unset.with_design(pattern_of_keys(unset)), equivariant=False)]
    if requirements.causal or "prefix" in interface.takes or stated:
        named = re.search(r"window|radius|local|banded|bandwidth|look_?back", documentation.source, re.IGNORECASE)
        windowed = named and "window" not in interface.takes
        if windowed and (largest_lag := causal_window(convention)) is not None:
            return [limited({"causal": True, "window": (largest_lag, None)}, "causal-unasked", "window-built-in")]
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
    if convention.load is not None and sees_windows_of_grid(attended):
        return [convention.with_design(pattern_of_keys(convention))]
    if limits and attended is not None and _mask_replaces_limits(convention, len(attended)):
        of_function = aligned if convention.load is None else {}
        implicit = {**interface.implicit, **limits, **of_function}  # else fewer queries are for a mask to align
        limited_without_mask = convention.with_interface(implicit=implicit, mask_replaces_limits=True)
        return [replace(limited_without_mask, built_in=("causal-without-mask",))]
    if limits:
        return [limited(limits, "causal-unasked" if "causal" in limits else "window-built-in")]
    hidden = [limited({"causal": True}, "causal-unasked")] if documentation.mentions_causal else []
    return [*hidden, convention]


def _with_window_unset(convention: CallingConvention) -> CallingConvention:
    """With the window that the function has by default, which may be a part of its pattern."""
    names = {role: name for role, name in convention.names.items() if role != "window"}
    return replace(convention.with_interface(takes=convention.interface.takes - {"window"}), names=names)


def _mask_replaces_limits(convention: CallingConvention, count: int) -> bool:
    """Whether queries see every key once a mask (N, M) is passed that hides none."""
    interface = convention.interface
    if "mask" not in interface.takes - interface.needs or interface.key_mask:
        return False
    attended = attended_keys(convention, count, {"mask": np.ones((1, 1, count, count), bool)})
    return attended is not None and bool(attended.all())


def _has_pattern(convention: CallingConvention, causal: bool) -> bool:
    """Whether queries see some keys only, their own among them, which are neither a window nor all up to their own."""
    for count in (None, _MORE_TOKENS):
        attended = attended_keys(convention, count)
        if attended is None or attended.all() or not np.diagonal(attended).all():
            return False
        if not built_in_limits(attended):
            return not (causal and np.triu(attended, 1).any())
    return False


def _best(
    alternatives: list[CallingConvention],
    documentation: Documentation,
    rng: np.random.Generator | None,
    most: int,
    least: int = 0,
) -> Findings:
    """The findings that cost least: of all alternatives with one mistake at most, then with more."""
    examined, measured = [], list[Findings]()
    for convention in alternatives:
        examination = examine(convention, fresh(rng))
        examined.append(examination)
        right = explain_at_level(examination, 0)
        if right is not None and right.rank[0] == 0 and not examination.refusals:
            return right
    fewest = min(examination.refusals for examination in examined)
    explained: list[tuple[tuple[int, ...], Findings]] = []
    likely = [examination for examination in examined if examination.refusals == fewest]
    for step, level in enumerate(_levels(most, len(likely))):
        if most >= MEASURED and step == 2 and not explained:
            measured = [f for one in likely if (f := _as_measured(one, documentation, rng)) is not None]
            if in_full := [findings for findings in measured if not findings.unexplained]:
                return min(in_full, key=_rank)
            if most == MEASURED:
                break
        for place, examination in enumerate(examined if level >= least else ()):
            more = examination.refusals > fewest  # probably not how the function wants its arguments
            if place and level > 1 and (more or (level == 4 and examination is not likely[0])):
                continue
            others = sum(other in likely for other in examined[place + 1 :]) if level > 1 else 0
            with share_of_evaluations(1 + others):
                findings_or_none = explain_at_level(examination, level)
            if findings_or_none is not None and not (place and more and findings_or_none.rank[0]):
                rank = findings_or_none.rank
                other_way = "weights-transposed" in findings_or_none.codes  # rather a convention than a mistake
                partly = bool(findings_or_none.notes)
                explained.append(((rank[0] + 2 * more, other_way, partly, *rank[1:], place), findings_or_none))
                if level > 1 and not more:
                    break
        if explained and min(explained, key=_cost)[0][0] <= level:
            break
    if explained:
        return min(explained, key=_cost)[1]
    if measured:
        return min(measured, key=_rank)
    nearest = max(examined, key=lambda one: (one.reproduced, not one.convention.built_in))
    return explain_what_is_left(nearest, fresh(rng), documentation.random)


def _levels(most: int, alternatives: int) -> tuple[int, ...]:
    """How many mistakes are looked for at once, in this order."""
    if most < MEASURED:
        return tuple(range(most + 1))
    return (0, 1, 2, 4) if alternatives > 1 else (0, 1, 4)


def _as_measured(
    examination: Examination, documentation: Documentation, rng: np.random.Generator | None
) -> Findings | None:
    """What explains a function once its attention weights are known; None if they show nothing."""
    convention = examination.convention
    norms = designs_with_norm(convention)
    for most in (1, 2) if norms else ():
        with_norms = [convention.with_design(*norm) for norm in norms]
        explained = []
        for one in with_norms:
            if evaluations() > limit():
                break
            explained += [f for f in [_best([one], documentation, rng, most)] if f.explanation is not None]
            if explained and explained[-1].rank[:2] == (0, 0):
                break
        if explained:
            return min(explained, key=_rank)
    measured = measured_design(convention)
    if measured.known_scale:
        design = measured.design or design_with_rotation(convention, first_probe(convention.interface).case)
        findings = _best([convention.with_design(*design)], documentation, rng, most=2) if design else None
        if findings is not None and findings.explanation is not None:
            return findings
    if measured.scale is None:
        return None
    another = convention.with_design(*measured.design, (OTHER_SCALE, measured.scale.change))
    if measured.known_scale:
        explained_or_none = explain_at_level(examine(another, fresh(rng)), 0)
    else:
        findings = _best([another], documentation, rng, most=2)
        explained_or_none = findings if findings.explanation is not None else None
    if explained_or_none is None:
        return None if measured.known_scale else explain_what_is_left(examination, fresh(rng), documentation.random)
    notes = (*explained_or_none.notes, measured.scale.in_words())
    return replace(explained_or_none, convention=convention.with_design(*measured.design), notes=notes)


def _rank(findings: Findings) -> tuple[int, ...]:
    return findings.rank


def _cost(explained: tuple[tuple[int, ...], Findings]) -> tuple[int, ...]:
    return explained[0]


def fresh(rng: np.random.Generator | None) -> np.random.Generator:
    """A generator for one explanation: the same each time, unless the caller has passed one."""
    return np.random.default_rng(20260 if rng is None else int(rng.integers(2**62)))
