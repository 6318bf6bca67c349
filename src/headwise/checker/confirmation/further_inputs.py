"""What a function that is right on every probe does with further inputs, and with the same arguments in other forms.

The search for mistakes stays small because it is tried on few inputs; code that treats some sizes, values or forms of
its arguments apart is found here. What differs is not explained, but described.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from textwrap import shorten
from types import FrameType
from typing import Any

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.arguments.numbers_in_code import numbers_in_code
from headwise.checker.arguments.roles import FLAGS, normalize
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.options import is_function
from headwise.checker.calling.responses import bare, has_shape
from headwise.checker.catalogue.masking import WEAK_FILLS
from headwise.checker.confirmation.unreached_lines import Lines
from headwise.checker.measurement.influence import case_with_tokens
from headwise.checker.probes import SOME_BIASES, Further, Probe, first_probe, further_probes, probes
from headwise.checker.reference.differences import PRECISIONS, difference
from headwise.checker.reference.state import Case, grid
from headwise.checker.search.agreement import fits
from headwise.checker.search.edge_cases import hazards_of, is_left_with_nothing, split_empty_rows
from headwise.checker.search.examination import HEADS_LEFT_OUT, observe
from headwise.checker.search.findings import Findings
from headwise.checker.search.mistakes import Agreement, Explanation, Observation, forms_of
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_TRAINING = re.compile(r"train|deterministic|inference")
_SLOW = ("jax", "jaxlib", "tensorflow", "keras")  # they compile again for every size


@dataclass(frozen=True, slots=True)
class _Trial:
    """A way of calling, the input, and in words what is different about it."""

    convention: CallingConvention
    further: Further
    # whether code that does not promise it may differ, so that it is only listed as not tested
    edge: bool = False
    meant: Probe | None = None  # what the definition is given, if that is something else
    mistake: str = ""  # the entry that is named if the definition with it gives what the function returns


def confirmed(findings: Findings, documentation: Documentation, rng: np.random.Generator) -> Findings:
    """The findings, with what differs on further inputs if they are right so far."""
    if findings.explanation is None or findings.rank[0] or findings.convention.load is not None:
        return findings
    if "equal-lengths" in findings.observed and _promises_other_lengths(findings.convention, documentation):
        return _with_note(findings, "but not with fewer queries than keys")
    if _refuses_items(findings.convention, documentation):
        return _with_note(findings, "but it does not take several items at once, as it says that it does")
    calls, explanation = findings.calls, findings.explanation
    if _refuses_masks_of_items(findings.convention, calls, documentation):
        return _with_note(findings, "but it does not take another mask for each item, as it says that it does")
    agrees = _precision(explanation, calls)
    if agrees is None:
        return findings
    explained = {a.probe.name for a in calls if a.response.output is not None}
    apart = [a for a in calls if a.response.output is not None and not agrees(explanation, a)]
    explained -= {a.probe.name for a in apart if not is_left_with_nothing(a)}
    weighed = any(a.response.weights is not None for a in calls)
    untested = dict.fromkeys(_refused_groups(calls, documentation))
    lines = Lines(findings.convention.function)
    compiled = any(a.response.framework in _SLOW for a in calls)
    record = contextlib.nullcontext if compiled else lines.recorded
    with record():
        for call in calls:
            findings.convention.call(call.probe.case)
    for trial in _trials(findings, documentation, rng):
        if trial.further.probe.name not in explained:
            continue
        with record():
            call = observe(trial.further.probe, trial.convention)
        if not weighed:  # what else it returns only has the shape of weights in this size
            call = replace(call, response=replace(call.response, weights=None))
        call = replace(call, probe=trial.meant or call.probe)
        if call.response.output is None or agrees(explanation, call):
            continue
        if apart and is_left_with_nothing(call):
            continue
        if "equal-lengths" in findings.observed and grid(call.probe.case)[2] != grid(call.probe.case)[3]:
            continue
        if explanation.answer(call.probe.case) is None:  # such as a rotation of an odd number of features
            continue
        if trial.mistake and any(agrees(explanation + one, call) for one in forms_of(trial.mistake)):
            findings = findings.with_observed(trial.mistake)
            continue
        if code := _weak_fill(explanation, call, agrees):
            findings = findings.with_observed(code)
            continue
        empty, _ = split_empty_rows(explanation, [call], agrees)
        if codes := (*hazards_of(call, right=True), *empty):
            findings = replace(findings, observed=tuple(dict.fromkeys((*findings.observed, *codes))))
            continue
        if trial.edge or (call.probe.name == "scale" and _is_nan(call.response.output)):  # of a root of the scale
            untested[f"{trial.further.words} (it gives other answers)"] = None
            continue
        if has_shape(call.response, call.probe.case) or not {"mask", "bias"} & call.probe.case.keys():
            rounds = (findings.rounds[0], [*findings.rounds[1], call])
            return _with_note(replace(findings, rounds=rounds), f"but not with {trial.further.words}")
    if _overwrites_results(findings.convention):
        return _with_note(findings, "but what it returned changes when it is called again")
    if _drops_out_without_training(findings.convention):
        note = "A rate of dropout has an influence although it is told that there is no training."
        return replace(findings.with_observed("dropout-active"), notes=(*findings.notes, note))
    if _drops_one_mask(findings.convention, calls):
        return _with_note(findings, "but not with a mask of its tokens and another of its context together")
    findings = findings.with_untested(*untested)
    unreached = () if compiled else lines.unreached(documentation.source, findings.convention.unused)
    return findings.with_untested(*unreached)


def _weak_fill(explanation: Explanation, call: Observation, agrees: Agreement) -> str:
    """The entry that a number in place of −∞ belongs to, where larger logits show it; empty if none does."""
    others = explanation.without("mask-finite-fill")
    fills = [Explanation.of(pair) for pair in WEAK_FILLS]
    return next((one.codes[0] for one in fills if others.goes_with(one) and agrees(others + one, call)), "")


def _promises_other_lengths(convention: CallingConvention, documentation: Documentation) -> bool:
    """Whether it says that there may be other numbers of queries than of keys."""
    counts = [documentation.shape_of(str(convention.names.get(x)))[-2:-1] for x in "qk"]
    said = re.search(r"cross|encoder|context|memory", documentation.name + documentation.docstring, re.IGNORECASE)
    return documentation.alignment == "end" or bool(said) or (all(counts) and counts[0] != counts[1])


def _refuses_items(convention: CallingConvention, documentation: Documentation) -> bool:
    """Whether every layout that it states has an axis of items, and it works without one only."""
    interface = convention.interface
    stated = documentation.axes(interface.kind)
    single = "B" not in interface.axes and not interface.batched and not interface.packed
    return bool(stated) and single and all("B" in axes for axes in stated)


def _refuses_masks_of_items(
    convention: CallingConvention, calls: list[Observation], documentation: Documentation
) -> bool:
    """Whether it says that its mask is (B, N, M), and raises with every such mask that is another for each item."""
    masked = [a for a in calls if a.probe.name == "mask-each" and len(a.probe.case["mask"]) > 1]
    stated = documentation.mask_layouts(str(convention.names.get("mask")))
    of_heads = any("H" in axes for axes in documentation.axes(convention.interface.kind))  # else the items are heads
    as_stated = replace(convention, mask_shape="items") if of_heads else convention
    return stated == ("BNM",) and bool(masked) and all(as_stated.call(a.probe.case).output is None for a in masked)


def _refused_groups(calls: list[Observation], documentation: Documentation) -> Iterator[str]:
    """Fewer key heads than query heads: left out without a word, or refused by code that has a place for them."""
    groups = [a.response for a in calls if a.probe.name == "groups"]
    if not groups or any(response.output is not None for response in groups):
        return
    if groups[0].error == HEADS_LEFT_OUT:
        yield f"fewer key heads than query heads ({HEADS_LEFT_OUT})"
    elif re.search(r"repeat_?(interleave|kv)|n_?rep\b|\.repeat\(|kv_?heads", documentation.code):
        yield f"fewer key heads than query heads (it raises {shorten(groups[0].error, 110)})"


def _with_note(findings: Findings, what: str) -> Findings:
    return findings.with_problem(f"It is right on all other inputs, {what}.")


def _is_nan(output: Array | None) -> bool:
    return output is not None and bool(np.isnan(output).all())


def _overwrites_results(convention: CallingConvention) -> bool:
    """Whether an array that it has returned is written into by the next call."""
    case = first_probe(convention.interface).case
    name = "X" if "X" in case else "v"
    results = _arrays(convention.returned(case))
    before = [a.copy() for a in results]
    convention.returned(case | {name: case[name] + 1})
    return not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(results, before, strict=True))


def _arrays(result: Any) -> list[Any]:
    """The arrays that were returned, not copied."""
    arrays = []
    for part in result if isinstance(result, tuple) else (result,):
        with contextlib.suppress(Exception):  # whatever else a function may return
            arrays += [bare(part)] if bare(part).dtype.kind == "f" else []
    return arrays


def _drops_out_without_training(convention: CallingConvention) -> bool:
    """Whether a rate of dropout that it may be given changes its output next to a flag that there is no training."""
    flags = {name: FLAGS.get(normalize(name)) for name in convention.unused}
    rates = {name: 0.5 for name, value in flags.items() if isinstance(value, float) and value == 0}
    training = {name: flag for name, flag in flags.items() if isinstance(flag, bool) and _TRAINING.search(name)}
    if not rates or not training:
        return False
    case = first_probe(convention.interface).case
    told = replace(convention, fixed={**convention.fixed, **rates, **training})
    before, after = convention.call(case).output, told.call(case).output
    return before is not None and after is not None and difference(after, before) > PRECISIONS["float32"]


def _drops_one_mask(convention: CallingConvention, calls: list[Observation]) -> bool:
    """Whether the mask of its context is without effect next to that of its tokens, on the tokens that count."""
    both = convention.interface.masks_apart and convention.interface.key_mask
    for call in calls if both else ():
        case, before = call.probe.case, call.response.output
        if "context" in case and "padding" in case and "mask" not in case and before is not None:
            count = np.arange(case["X"].shape[1]) != 1
            mask = np.broadcast_to(count, (len(case["X"]), 1, 1, len(count)))
            after = convention.call(case | {"mask": mask}).output
            if after is not None and after.shape == before.shape:
                return difference(after[:, count], before[:, count]) > PRECISIONS["float32"]
    return False


def _precision(explanation: Explanation, calls: list[Observation]) -> Agreement | None:
    """The finest precision in which a function agrees on ordinary inputs."""
    plain = [a for a in calls if a.probe.name in ("plain", "sharp") and a.response.output is not None]
    return next((f for f in map(fits, ("float64", "float32")) if all(f(explanation, a) for a in plain)), None)


def _trials(findings: Findings, documentation: Documentation, rng: np.random.Generator) -> Iterator[_Trial]:
    convention, calls = findings.convention, findings.calls
    first = first_probe(convention.interface, rng)
    masked = [p for p in probes(convention.interface, 0, rng) if p.name in ("mask", "mask-keys")]
    masked = [] if is_function(convention.names.get("mask")) else masked
    strided = replace(convention, strided=True, convert=partial(_to_strided, convention))
    for probe in (first, *masked[:1]):
        yield _Trial(strided, Further("arrays that are not contiguous in memory", probe))
    if not convention.interface.unprojected:
        yield from (_Trial(convention, f) for f in _of_repeated_arrays(first))
    if "input-changed" not in findings.observed:
        yield from (_Trial(convention, f) for f in _of_equal_arrays(convention, first))
    for name in [name for name, value in convention.fixed.items() if value == 1]:
        for fixed in ({k: v for k, v in convention.fixed.items() if k != name}, {**convention.fixed, name: 2}):
            yield _Trial(replace(convention, fixed=fixed), Further("blocks of another size", first))
    integers = {k: np.rint(2 * a) if _is_float(a) else a for k, a in first.case.items()}
    integer_convention = replace(convention, convert=partial(_to_integers, convention))
    yield _Trial(integer_convention, Further("integers as arguments", Probe("plain", integers)), edge=True)
    if all(a.response.framework == "numpy" for a in calls if a.response.output is not None):
        lists = replace(convention, convert=lambda a: a.tolist())
        yield _Trial(lists, Further("lists of numbers", first), edge=True)
    yield from _of_fewer_axes(convention, documentation, first)
    if "weights?" in convention.names and not convention.weights_only:
        alone = convention.with_fixed(str(convention.names["weights?"]), False)
        for probe in (first, *masked):
            yield _Trial(alone, Further("the output alone", probe))
    yield from _of_numbers_in_masks(convention, documentation, masked)
    yield from _of_mask_shapes(convention, documentation, rng)
    if convention.design:
        return
    interface = convention.interface
    if any(a.response.framework in _SLOW for a in calls):
        interface = replace(interface, compiled=True)
    # Some norms add a small number, and some divide by 0.
    normed = any("norm" in code for code in findings.conventions)
    loops = interface.compiled or _may_have_loops_over_pairs(convention)  # what is compiled is tried in few sizes
    blocks = None if loops else numbers_in_code(documentation)
    tried = further_probes(interface, rng, any_size=not normed, blocks=blocks)
    # Code that raises for some of the biases takes all of them or none.
    partly_biased = [further for further in tried if further.words == SOME_BIASES]
    together = any(convention.call(further.probe.case).output is None for further in partly_biased)
    for further in tried:
        # The axes of a mask may then be taken for one another.
        ambiguous = "as many" in further.words and further.probe.name not in ("plain", "sharp", "batch", "wide")
        yield _Trial(convention, further, edge=ambiguous or (together and further.words == SOME_BIASES))


def _of_mask_shapes(
    convention: CallingConvention, documentation: Documentation, rng: np.random.Generator
) -> Iterator[_Trial]:
    """The mask in every shape that it accepts, where the first is the only one that is tried else."""
    name = str(convention.names.get("mask"))
    stated = documentation.mask_layouts(name)
    masked = [p for p in probes(convention.interface, 0, rng) if p.name in ("mask", "mask-each")]
    fixed = convention.interface.key_mask or is_function(convention.names.get("mask"))
    for probe in masked if "mask" in convention.interface.takes and not fixed else ():
        for shape in ("short", "items", "one-head", "full"):
            presented = replace(convention, mask_shape=shape)
            axes = next(presented.presentations(probe.case))["mask"].ndim
            words = f"a mask of {axes} axes"
            yield _Trial(presented, Further(words, probe), edge=not any(len(layout) == axes for layout in stated))


def _of_numbers_in_masks(
    convention: CallingConvention, documentation: Documentation, masked: list[Probe]
) -> Iterator[_Trial]:
    """Masks of ones and zeros for a function that takes True and False, and numbers to add for one that takes these."""
    for probe in () if convention.mask_type else masked:
        role = "padding" if probe.name == "mask-keys" else "mask"
        name, adds = str(convention.names.get(role)), convention.senses[role] == "adds"
        both = documentation.adds_also(name)
        for of_type in () if adds or both else ("int64", "float64"):
            edge = not documentation.numbers_in_mask(name)
            further = Further(f"a mask of ones and zeros in {of_type}", probe)
            yield _Trial(replace(convention, mask_type=of_type), further, edge)
        for hidden in (-1.5, -np.inf) if both else (-1.5,) if adds else ():
            numbers = {role: np.where(probe.case[role], 0.0, hidden)}
            rest = {other: a for other, a in probe.case.items() if other != role}
            meant = Probe(probe.name, rest | {"bias": numbers[role]})
            further = Further("a mask of numbers other than 0 and −∞", Probe(probe.name, rest | numbers))
            stated = both or documentation.adds_numbers(name)
            mistake = "bias-before-scale" if stated and not documentation.hides_only(name) else ""
            yield _Trial(convention, further, not stated, meant, mistake)


def _of_equal_arrays(convention: CallingConvention, first: Probe) -> Iterator[Further]:
    """The same array as queries, keys and values, or as tokens and context."""
    case = first.case
    if "X" in case:
        masked = {"mask", "padding", "bias", "lengths"} & case.keys()
        if "context" in convention.names and not convention.interface.one_query and not masked:
            yield Further("one array as tokens and as context", Probe("context", case | {"context": case["X"]}))
    elif case["q"].shape == case["k"].shape == case["v"].shape and not convention.interface.packed:
        yield Further("one array as queries, keys and values", Probe("plain", case | {"k": case["q"], "v": case["q"]}))


def _of_repeated_arrays(first: Probe) -> Iterator[Further]:
    """Some arguments as before, others not."""
    for name in ("k", "v", "Wk", "Wv"):
        if name in first.case:
            case: Case = first.case | {name: first.case[name][..., ::-1].copy()}
            yield Further("an argument that it has had before, next to others", Probe("plain", case))


def _of_fewer_axes(convention: CallingConvention, documentation: Documentation, first: Probe) -> Iterator[_Trial]:
    """Without the axes of items and heads, for a function of queries, keys and values."""
    interface = convention.interface
    usual = not (interface.of_tokens or interface.packed or interface.needs - {"q", "k", "v"} or convention.output)
    stated = documentation.axes(interface.kind)
    for without in ("B", "H", "BH") if usual and interface.key_heads is None else ():
        axes = "".join(axis for axis in interface.axes if axis not in without)
        if axes != interface.axes:
            fewer = convention.with_interface(axes=axes)
            items, heads = (slice(0, 1 if axis in without else None) for axis in "BH")
            case = first.case | {name: first.case[name][items, heads] for name in ("q", "k", "v")}
            if has_shape(fewer.call(case), case):
                words = f"arrays of shape ({', '.join(axes)})"
                yield _Trial(fewer, Further(words, Probe("plain", case)), edge=axes not in stated)


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim > 0


def _to_integers(convention: CallingConvention, array: Any) -> Any:
    return convention.convert(array.astype(np.int64) if _is_float(array) else array)


def _to_strided(convention: CallingConvention, array: Any) -> Any:
    """The array as the function takes it; a tensor in another order in memory, as an array is already."""
    converted = convention.convert(array)
    if not hasattr(converted, "new_empty"):
        return converted
    wide = converted.new_empty((*converted.shape[::-1], 2))[..., 0]
    return wide.permute(tuple(range(wide.ndim))[::-1]).copy_(converted)


def _may_have_loops_over_pairs(convention: CallingConvention) -> bool:
    """Whether the number of lines that run grows with the square of the number of tokens, or cannot be counted."""
    if getattr(convention.function, "in_sandbox", False):
        return True
    few, some, more = (_count_of_lines(convention, count) for count in (4, 8, 12))
    return more - 2 * some + few >= 12**2 - 2 * 8**2 + 4**2


def _count_of_lines(convention: CallingConvention, tokens: int) -> int:
    """How many lines of Python run when the function is called with so many tokens."""
    case, count, before = case_with_tokens(convention, tokens), 0, sys.gettrace()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        convention.call(case)
    finally:
        sys.settrace(before)
    return count
