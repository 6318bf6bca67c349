"""What a module that is explained returns in other circumstances, in which it should do the same.

They are another number of tokens, with the attention weights or without, the training mode, and a mask of another
type. Other norms and scales, however, should change something.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace

from headwise.checker.arguments.roles import role_of
from headwise.checker.arguments.windows import BESIDES_WINDOW
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.measurement.influence import attended_keys, built_in_limits, case_with_tokens
from headwise.checker.modules import without_dropout
from headwise.checker.probes import Probe, first_probe
from headwise.checker.reference.conventions import CONVENTIONS
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, grid
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Observation
from headwise.checker.target import Target
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import BoolArray

_CLOSE = 1e-3  # a module may compute in float32
_MANY = 64  # tokens, also of a square image
_COUNTS = (_MANY, 31, 15)  # of which the largest that it takes shows which entries of a table it uses
_PROBES = ("plain", "context", "mask", "mask-keys", "bias", "together")  # those that are called again
_READS_TYPE = re.compile(r"\.dtype\s*(==|!=|is)\s*(\w+\.)?bool|is_floating_point\(")
_TRAINING = "In training mode, without dropout,"


def with_further_calls(findings: Findings, target: Target) -> Findings:
    """The findings, and what differs in circumstances that should change nothing."""
    if findings.explanation is None or findings.rank[0] or findings.convention.load is None:
        return findings
    convention = findings.convention
    again = [a for a in findings.rounds[0] if a.probe.name in _PROBES and a.response.output is not None]
    convention, notes = _with_other_counts(findings)
    for flag in (p for p in inspect.signature(convention.function).parameters if role_of(p) == "weights?"):
        for value in (True, False):
            if not _repeats(convention.with_fixed(flag, value), again):
                notes.append(f"With {flag}={value}")
    sentences = []
    untested = list(_other_masks(convention, again)) if _READS_TYPE.search(target.source) else []
    if target.without_effect is not None:
        for name, one_of_several in target.without_effect(lambda: _repeats(convention, again)).items():
            if one_of_several:
                sentences.append(f"{name} changes no output, and another norm of queries and keys does.")
            else:
                untested.append(f"{name}, which changes no output")
    if target.used_in_part is not None:
        few, many = _with_usual_tokens(convention) or again[:1], _with_many_tokens(convention)
        more = (lambda: _repeats(convention, many)) if many else None
        sentences += target.used_in_part(lambda: _repeats(convention, few), more)
    if target.train is not None:
        target.train(True)
        try:
            with without_dropout():
                if not _repeats(convention, again):
                    random = not _gives_the_same_twice(convention, again[0])
                    (untested if random else notes).append("training mode" if random else _TRAINING)
        finally:
            target.train(False)
    for name, value, put in target.switches:
        put(not value)
        with without_dropout():
            if any(convention.call(one.probe.case).output is None for one in again):
                untested.append(f"{name}={not value}")
            elif not _repeats(convention, again):
                notes.append(f"With {name}={not value}")
        put(value)
    sentences += [f"{note} it returns another output." for note in notes]
    if "pattern-built-in" in findings.conventions and target.window is not None and _states_window(target):
        sentences.append("The keys that a query sees are not those of the window that it states.")
    window = _mistake_with_window(convention, target)
    return replace(
        findings,
        observed=(*findings.observed, *window),
        convention=replace(convention, unused=(*convention.unused, *untested)),
        notes=(*findings.notes, *sentences),
        unexplained=findings.unexplained or bool(sentences),
    )


def _states_window(target: Target) -> bool:
    """Whether it says what its window counts, and of no keys besides those in it."""
    return bool(target.window and target.window[1]) and not re.search(BESIDES_WINDOW, target.source, re.IGNORECASE)


def _mistake_with_window(convention: CallingConvention, target: Target) -> tuple[str, ...]:
    """The code of a mistake with the window that a module stores as a number, if there is one.

    A window on both sides of a query is known by what the module says that it counts.
    """
    implicit = convention.interface.implicit
    left, right = implicit.get("window") or (None, 0)
    if target.window is None or not (implicit.get("causal") or "window" in implicit) or right not in (0, left):
        return ()
    size, stated = target.window
    if right:
        sides = {"reach": size, "size": size // 2}
        return ("window-off-by-one",) if stated in sides and 0 < abs(right - sides[stated]) <= 2 else ()
    if left is None:
        limited = {"mask", "padding", "window"} & convention.names.keys() or size > _MANY // 2
        return () if limited else ("window-ignored",)
    allowed = {"count": (size - 1,), "reach": (size,)}.get(stated, (size - 1, size))
    return () if left in allowed or abs(left - size) > 2 else ("window-off-by-one",)


def _with_many_tokens(convention: CallingConvention) -> list[Observation]:
    """A call with the most tokens that it takes, of some numbers; none if it takes no more than few."""
    sizes = convention.interface.sizes
    fixed = sizes is None or sizes.tokens or sizes.queries or convention.interface.cached
    if fixed:
        return _with_usual_tokens(convention)
    return next(
        (calls for count in _COUNTS if (calls := _observed(convention, case_with_tokens(convention, count)))), []
    )


def _with_usual_tokens(convention: CallingConvention) -> list[Observation]:
    """A call with as many tokens as usual, of which none is hidden."""
    *_, queries, keys = grid(first_probe(convention.interface).case)
    return _observed(convention, case_with_tokens(convention, queries, keys))


def _observed(convention: CallingConvention, case: Case) -> list[Observation]:
    response = convention.call(case)
    return [] if response.output is None else [Observation(Probe("plain", case), response)]


def _repeats(convention: CallingConvention, calls: list[Observation]) -> bool:
    """Whether calls give the outputs that they gave."""
    for call in calls:
        output, before = convention.call(call.probe.case).output, call.response.output
        if output is not None and before is not None and difference(output, before) > _CLOSE:
            return False
    return True


def _gives_the_same_twice(convention: CallingConvention, call: Observation) -> bool:
    first, second = (convention.call(call.probe.case).output for _ in range(2))
    return first is not None and second is not None and difference(first, second) <= _CLOSE


def _with_other_counts(findings: Findings) -> tuple[CallingConvention, list[str]]:
    """The numbers of tokens with which it gives something else, in words.

    A window, or groups of tokens, that only many tokens show are part of the convention that is returned.
    """
    explanation, convention = findings.explanation, findings.convention
    sizes = convention.interface.sizes
    assert explanation is not None
    pairs = [pair for pair in explanation.pairs if pair[0] in CONVENTIONS]
    measured = any(CONVENTIONS[code].of_positions and change not in CONVENTIONS[code].changes for code, change in pairs)
    notes: list[str] = []
    if sizes is None or sizes.tokens or sizes.queries or convention.interface.cached or measured:
        return convention, notes
    for count, words in ((1, "With a single token"), (_MANY, f"With {_MANY} tokens")):
        case = case_with_tokens(convention, count)
        output, expected = convention.call(case).output, explanation.answer(case)
        if output is None or expected is None or output.shape != expected.output.shape:
            continue  # it may take no more than so many
        sees_none = any(np.abs(p.sum(axis=-1) - 1).max() > _CLOSE for p in expected.weights[:1])
        if difference(output, expected.output) <= _CLOSE or sees_none:
            continue
        attended = attended_keys(convention, count)
        code, limits = _limits_of(attended) if attended is not None else ("", {})
        limited = explanation.answer(case | limits) if code else None
        if limited is None or difference(output, limited.output) > _CLOSE:
            notes.append(words)
        else:
            implicit = {**convention.interface.implicit, **{k: v for k, v in limits.items() if k == "window"}}
            built_in = (*convention.built_in, code)
            convention = replace(convention.with_interface(implicit=implicit), built_in=built_in)
    return convention, notes


def _limits_of(attended: BoolArray) -> tuple[str, Case]:
    """A window, or groups of tokens that see each other: the code of the convention and the arguments that say it."""
    limits = built_in_limits(attended)
    if "window" in limits:
        return "window-built-in", limits
    groups = np.array_equal(attended, attended.T) and np.array_equal(attended, attended @ attended)
    return ("pattern-built-in", {"mask": attended[None, None]}) if groups and not attended.all() else ("", {})


def _other_masks(convention: CallingConvention, calls: list[Observation]) -> Iterator[str]:
    """The masks of another type for which a module that distinguishes types returns other outputs."""
    for name in ("mask", "padding"):
        sense = convention.senses.get(name)
        calls_with_mask = [call for call in calls if name in call.probe.case]
        if name not in convention.names or not calls_with_mask:
            continue
        others = ("attends", "hides") if sense == "adds" else ("adds",)
        alternatives = [replace(convention, senses={**convention.senses, name: other}) for other in others]
        if not any(_repeats(one, calls_with_mask) for one in alternatives):
            kind = "True and False" if sense == "adds" else "numbers that are added"
            yield f"{convention.names[name]} with {kind}, which it does not treat alike"
