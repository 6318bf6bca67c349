"""A class that is right so far, made with other sizes and with options; a method that keeps what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from headwise.checker.detection.refusal import UncallableError
from headwise.checker.modules import Variant, options_off, other_sizes
from headwise.checker.modules.construct import has_small_defaults, settings_of
from headwise.checker.report.verdict import Verdict
from headwise.checker.search.effort import single_mistakes
from headwise.checker.user_code.stateful_methods import at_once, keeps_what_it_is_given, one_by_one
from headwise.errors import DataError, HeadwiseError

_IN_TURN = "In this check it was called for each token in turn, with the object as it was before the first."


def with_other_arguments(
    verdict: Verdict, cls: type, init: Mapping[str, Any], judge: Callable[[Variant], Verdict]
) -> Verdict:
    """The verdict on a class that is right, or the one on the class with other arguments with which it is not.

    `init`: the arguments that are given; without these other sizes are tried.
    `judge`: gives the verdict on the class with the arguments of a variant.
    """

    def first(variants: Iterable[Variant], **options: Any) -> tuple[Variant, Verdict] | None:
        for variant in variants:
            one = replace(variant, arguments={**variant.arguments, **options})
            try:
                result = judge(one)
            except HeadwiseError:  # it may allow certain sizes only
                continue
            return one, (verdict if _differs_where_untried(result, verdict) else result)
        return None

    as_it_is = Variant(None, {})
    sizes = [as_it_is] if init else list(other_sizes(cls))
    options, untested = options_off(cls, init)
    with single_mistakes() if len(options) > 1 else nullcontext():  # else each of them is tried alone
        together = first(sizes, **options) if options or not init else None
    without = first(sizes) if options and not init and not _is_right(together) else together
    if not init and without is not None and _is_mistaken(without[1]):
        made = f"This verdict is for {without[0].in_words(cls)}."
        return _with_notes(without[1], "With other numbers of heads, features and tokens it is right.", made)
    for name, value in options.items() if not _is_right(together) else ():
        base = without[0] if not init and without is not None and without[1].ok else as_it_is
        alone = together if together is not None and len(options) == 1 else first([base], **{name: value})
        if alone is None:
            untested.append(name)
        elif not alone[1].ok:
            return _with_notes(alone[1], f"This verdict is for {name}={value!r}; without it is right.")
    caveats = [f"the option {name} of its constructor" for name in untested]
    if (init or without is None) and verdict.kind != "attention":  # without weights it takes any sizes
        caveats.append("other numbers of heads and features")
    return replace(verdict, untested=(*verdict.untested, *caveats))


def with_default_arguments(
    verdict: Verdict, cls: type, init: Mapping[str, Any], judge: Callable[[Variant], Verdict]
) -> Verdict:
    """The verdict on a class that is unexplained with other sizes, as its small defaults make it, if it is explained.

    Its code may rely on them, as one that divides by 2 where heads are four wide.
    """
    if verdict.mistakes != ("unknown",) or init or not has_small_defaults(cls):
        return verdict
    own = Variant(None, settings_of(cls))
    try:
        other = judge(own)
    except HeadwiseError:
        return verdict
    explained = not other.ok and "unknown" not in other.mistakes
    return _with_notes(other, f"This verdict is for {own.in_words(cls)}.") if explained else verdict


def _is_right(result: tuple[Variant, Verdict] | None) -> bool:
    return result is not None and result[1].ok


def _is_mistaken(verdict: Verdict) -> bool:
    """Whether a class is not right with other sizes; where only a mask differs, its form may not be known."""
    return not verdict.ok and not all(probe.agrees for probe in verdict.probes if probe.name == "plain")


def _differs_where_untried(verdict: Verdict, usual: Verdict) -> bool:
    """Whether a class differs only on inputs that it does not take with its usual sizes, and so takes by accident."""
    refused = {probe.name for probe in usual.probes if probe.agrees is None}
    different = _inputs_with_difference(verdict) - _inputs_with_difference(usual)
    return not verdict.ok and bool(different) and different <= refused


def _inputs_with_difference(verdict: Verdict) -> set[str]:
    return {probe.name for probe in verdict.probes if probe.agrees is False}


def _with_notes(verdict: Verdict, *notes: str) -> Verdict:
    return replace(verdict, notes=(*verdict.notes, *notes))


def of_calls_in_turn(function: Callable[..., Any], judge: Callable[[Callable[..., Any]], Verdict]) -> Verdict:
    """The verdict on a function; on a method that uses what earlier calls left, also called for one token at a time."""
    if not keeps_what_it_is_given(function):
        return judge(function)
    try:
        in_turn = judge(one_by_one(function))
    except (DataError, UncallableError):  # no call uses what an earlier one left
        return judge(at_once(function))
    in_turn = replace(in_turn, notes=(*in_turn.notes, _IN_TURN))
    try:
        together = judge(at_once(function))
    except (DataError, UncallableError):  # it takes one token only
        return in_turn
    if in_turn.ok or together.ok:
        return together if in_turn.ok else in_turn
    return min(together, in_turn, key=lambda verdict: verdict.rank)
