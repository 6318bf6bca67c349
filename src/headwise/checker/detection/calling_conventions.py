"""Detecting how a function wants to be called: from its signature and documentation, then by calling it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

from headwise.checker.arguments.classes import with_fields
from headwise.checker.arguments.containers import EACH
from headwise.checker.arguments.documentation import Documentation, document
from headwise.checker.arguments.packed import stated_order
from headwise.checker.arguments.roles import is_adjacency, role_of
from headwise.checker.arguments.signatures import KINDS, Reading, readings, signature_of, with_keyword_options
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.matrices import WEIGHTS
from headwise.checker.calling.recorded_keys import learn_keys
from headwise.checker.calling.returned_names import returned_names
from headwise.checker.detection.acceptance import (
    accepted,
    in_its_type,
    in_words,
    is_plausible,
    with_optional_angles,
    with_windows,
)
from headwise.checker.detection.bias_tables import with_buckets, with_table
from headwise.checker.detection.converters import converters_for
from headwise.checker.detection.mask_senses import takes_a_mask, with_senses
from headwise.checker.detection.qkv_layouts import packed_layouts, paged_layouts, qkv_layouts
from headwise.checker.detection.refusal import UncallableError, refuse
from headwise.checker.measurement.influence import mixes_tokens
from headwise.checker.modules.function_sizes import with_sizes
from headwise.checker.probes import Interface, first_probe, probes, wide_probe
from headwise.checker.reference.conventions import Requirements
from headwise.checker.reference.state import grid
from headwise.checker.target import Target
from headwise.checker.user_code.numpy_guard import np
from headwise.errors import DataError
from headwise.shapes import Array

_MATRICES = frozenset({"Wq", "Wk", "Wv"})
_TOKEN_AXES = ("ND", "DN", "BND", "BDN")
_OF_ITEMS = ("mask-keys", "lengths")  # probes that hide other keys of each item
# other forms of arguments, by what a function raises that is given arrays
_FORMS: dict[str, dict[str, bool]] = {
    "": {},
    "object is not callable": {"layers": True},
    "has no attribute 'append'": {"cache_lists": True},
}
_GROUPED = (4, 2)  # heads, and heads of keys and values, where a function takes both numbers


def infer_calling_conventions(
    function: Callable[..., Any],
    kind: str,
    adapter: Callable[..., Any] | str | None,
    source: str,
    requirements: Requirements | None = None,
    any_sizes: bool = False,
) -> Iterator[list[CallingConvention]]:
    """Return the ways of calling a function that work: alternatives, and further lists for when none of them fits.

    With `any_sizes`, a function for the sizes of an example is called as one for any, as `with_sizes` makes it.

    There is at least one; the details of each, as what True means in a mask, are only measured when it is reached.

    Raises DataError if `kind` or `adapter` is not one of those there are, or `function` cannot be called at all;
    UncallableError if no way works.
    """
    if not callable(function):
        raise DataError(f"function: expected something that can be called; got {type(function).__name__}.")
    if kind not in ("auto", *KINDS):
        raise DataError(f"kind: expected one of auto, {', '.join(KINDS)}; got {kind!r}.")
    if isinstance(adapter, str) and adapter != "torch":
        raise DataError(f'adapter: expected a function or "torch"; got {adapter!r}.')
    if inspect.iscoroutinefunction(function):
        raise UncallableError(f"function: expected one that returns arrays; {function.__name__} is asynchronous.")
    requirements = requirements or Requirements()
    documentation = document(function, source)
    converters = converters_for(documentation, adapter)
    if callable(adapter):
        function, signature = partial(adapter, function), signature_of(adapter, skip=1)
    else:
        function = with_fields(with_sizes(function, any_sizes))
        signature = signature_of(function)
    problems: list[str] = []
    code = documentation.code_with_helpers or source
    signature = with_keyword_options(signature, code)
    learned, fixed = learn_keys(function, signature, code, converters)
    signature = [p for p in signature if p.name not in fixed] if signature is not None else None
    understood = list(readings(signature, kind, args=requirements.args, code=code, learned=learned, problems=problems))
    understood = [replace(reading, fixed={**reading.fixed, **fixed}) for reading in understood]
    understood.sort(key=lambda one: not (one.pooled and documentation.is_vector(str(one.names["X"]))))
    understood = [*filter(None, (with_buckets(reading, code) for reading in understood)), *understood]
    heads = list(_of_whole_rows(signature, kind)) if all(_leaves_out_heads(r, signature) for r in understood) else []
    attempts: dict[str, str] = {}
    for convert, (error, form) in product(converters, _FORMS.items()):
        if not any(error in raised for raised in ("", *attempts.values())):
            continue
        for reading in (*heads, *understood):
            start = replace(_start(function, reading, documentation, convert), **form)
            if reading in heads:
                start = replace(start.with_interface(takes=start.interface.takes | _MATRICES), projects=True)
            if working := _working(start, documentation, requirements, attempts):
                return working if start.weights_only else ([_as_returned(c) for c in tier] for tier in working)
            if working := _working(replace(start, weights_only=True), documentation, requirements, {}):
                return working
    raise refuse(documentation.name, kind, problems, attempts, signature, documentation)


def _as_returned(convention: CallingConvention) -> CallingConvention:
    """The convention, with weights alone if what it returns is as wide as there are keys, whatever the values are."""
    case = first_probe(convention.interface).case
    values, shape = "v" if "v" in case else "Wv", grid(case)[-2:]
    output, scaled = (convention.call(case | {values: case[values] * by}).output for by in (1, 2))
    if output is None or scaled is None or output.shape[-2:] != shape:
        return convention
    if shape[1] == case[values].shape[-1 - ("X" in case)]:  # as wide as an output would be
        return convention
    return replace(convention, weights_only=True) if np.array_equal(output, scaled) else convention


def _leaves_out_heads(reading: Reading, signature: list[inspect.Parameter] | None) -> bool:
    """Whether a number of heads has a default, and the reading of queries, keys and values has no place for it."""
    roles = {role_of(p.name) for p in signature or () if p.name in reading.unused}
    return reading.kind == "attention" and "heads" in roles


def _of_whole_rows(signature: list[inspect.Parameter] | None, kind: str) -> Iterator[Reading]:
    """The readings of a function that takes queries, keys and values of all heads side by side, and how many there are.

    They are tokens times matrices that the function does not see.
    """
    for reading in readings(signature, kind, given=_MATRICES):
        if {"X", "context", "values", "heads"} <= reading.names.keys():
            yield reading


def conventions_of_target(target: Target, kind: str, requirements: Requirements) -> list[list[CallingConvention]]:
    """As `infer_calling_conventions`, for a module.

    Raises UncallableError if no way of calling its forward method works.
    """
    documentation = document(target.forward, target.source, target.function)
    documentation = replace(documentation, name=target.name)
    signature = signature_of(target.forward)
    problems: list[str] = []
    attempts: dict[str, str] = {}
    requested_kind = kind if kind in ("cross_attention",) else "auto"
    requirements = replace(
        requirements,
        axes=target.axes or requirements.axes,
        mask=requirements.mask or ("" if target.mask == "any" else target.mask),
    )
    passed = [p for p in signature or [] if p.name not in target.arguments]
    for reading in readings(
        passed, requested_kind, roles=target.roles, code=documentation.code, given=target.parameters, problems=problems
    ):
        if reading.unprojected and (target.parameters or "context" not in reading.needs):
            continue
        start = _start(target.forward, reading, documentation, target.convert)
        start = replace(start.with_interface(sizes=target.sizes), fixed={**start.fixed, **target.arguments})
        start = replace(start, design=target.design, lowers=target.lowers, coarse=target.coarse)
        if target.parameters:
            takes = start.interface.takes | target.parameters | {"heads"}
            unscaled = documentation.unscaled or target.unscaled
            start = start.with_interface(takes=takes, dtype="float64", unscaled=unscaled)
            start = replace(start, load=target.load)
            if target.sizes is not None and target.sizes.context != target.sizes.model:  # no tokens are both
                start = start.with_interface(needs=start.interface.needs | {"context"})
        if working := _working(start, documentation, requirements, attempts):
            return list(working)
    raise refuse(target.name, kind, problems, attempts, signature)


def _start(
    function: Callable[..., Any], reading: Reading, documentation: Documentation, convert: Callable[[Array], Any]
) -> CallingConvention:
    needs = reading.needs | ({"context"} if reading.kind == "cross_attention" else set())
    if "values" in reading.names:
        needs = needs - {"context"}
    takes = reading.takes
    needs = needs | ({"mask"} if documentation.causal_with_mask and {"causal", "mask"} <= takes else set())
    if reading.kind != "attention" and "kpast" in takes:  # a token, and the keys and values of those before it
        takes, needs = takes | {"context"}, needs | {"context"}
    if projects := bool({"qkv", "kv"} & reading.names.keys()) and reading.kind != "attention":
        takes = takes - {"q", "k", "v"} | {"X", *_MATRICES} | ({"context"} if "kv" in reading.names else set())
    interface = Interface(
        reading.kind,
        takes,
        needs,
        dtype=documentation.dtype,
        heads=reading.numbered_heads or (_GROUPED[0] if "key_heads" in reading.names else None),
        key_heads=_GROUPED[1] if "key_heads" in reading.names else None,
        fused=bool({"Wqkv", "Wkv"} & reading.names.keys()),
        preallocated="kpast" in reading.names and documentation.writes_at(reading.names.get("offset")),
        bias_shared="index" in reading.names,
        segments_shared="starts" in reading.names,
        grid=bool({"rows", "grid"} & reading.names.keys()),
        even="cos" in takes or bool(re.search(r"\bcos\(|rope|rotary", documentation.code_with_helpers, re.IGNORECASE)),
        packed=next((name for name in ("qkv", "kv") if name in reading.names), ""),
        masks_apart={"mask", "context"} <= reading.names.keys() and _of_context(str(reading.names.get("padding", ""))),
        graph=is_adjacency(str(reading.names.get("mask"))),
        unprojected=reading.unprojected,
        pooled=reading.pooled,
        unscaled=documentation.unscaled
        or ((reading.unprojected or "Ss" in reading.names) and not documentation.scaled),
    )
    return CallingConvention(
        function,
        interface,
        reading.names,
        fixed=reading.fixed,
        unused=reading.unused,
        convert=convert,
        weights_only=reading.weights_only,
        projects=projects,
        rows=stated_order(documentation.text) if "Wqkv" in reading.names else "",
        returns=returned_names(documentation.code),
    )


def _of_context(mask: str) -> bool:
    """Whether a mask is that of a context, by its name."""
    return bool(re.search(r"context|ctx|enc|memory|cross|cond|source|src", mask.lower()))


def _working(
    start: CallingConvention, documentation: Documentation, requirements: Requirements, attempts: dict[str, str]
) -> Iterator[list[CallingConvention]] | None:
    """The layouts in which the function returns something of a plausible shape; None if there are none."""
    find = _token_layouts if start.interface.of_tokens else qkv_layouts
    find = packed_layouts if start.interface.packed else find
    find = paged_layouts if "pages" in start.names else find
    tiers = _with_one_query(find, start, documentation, requirements, attempts)
    finished = (
        [
            final
            for convention in tier
            for turned in with_optional_angles(in_its_type(convention))
            for masked in (with_senses(with_table(turned, documentation), documentation, requirements),)
            for final in with_windows(masked, documentation)
        ]
        for tier in tiers
    )
    return finished if tiers else None


def _with_one_query(
    find: Callable[..., list[list[CallingConvention]]],
    start: CallingConvention,
    documentation: Documentation,
    requirements: Requirements,
    attempts: dict[str, str],
) -> list[list[CallingConvention]]:
    """The layouts that it takes; those in which queries have no axis of tokens first if it says so, else last."""
    interface, names = start.interface, start.names
    of_all_tokens = not interface.of_tokens or "context" in interface.needs
    if not of_all_tokens or interface.packed == "qkv" or (interface.cached and interface.of_tokens):
        return find(start, documentation, requirements, attempts)
    alone = start.with_interface(one_query=True, key_mask="mask" in interface.takes)
    query, key = (str(names.get(role)) for role in (("X", "context") if interface.of_tokens else ("q", "k")))
    if interface.pooled:
        return find(alone, documentation, requirements, attempts)
    counts = [documentation.count_of_axes(name) for name in (query, key)]
    pairs = documentation.expands(query) and documentation.expands(key)  # as of differences of queries and keys
    expected = (documentation.expands(query) and not pairs) or 0 < counts[0] < (counts[1] or 2)
    with_axis = [replace(alone, query_axis=True)] if "Sa" in interface.needs else []  # to which keys are added
    for one in [*(alone, start)[:: 1 if expected else -1], *with_axis]:
        if tiers := find(one, documentation, requirements, attempts):
            return tiers
    return []


def _token_layouts(
    start: CallingConvention, documentation: Documentation, requirements: Requirements, attempts: dict[str, str]
) -> list[list[CallingConvention]]:
    if not start.interface.cached:
        return _layouts_of_tokens(start, documentation, requirements, attempts)
    layouts = ("", "BHNd", "BNHd") if start.interface.multi_head else ("",)
    for one_query, cache in product((True, False), layouts):
        step = replace(start.with_interface(one_query=one_query), cache=cache)
        if tiers := _layouts_of_tokens(step, documentation, requirements, attempts):
            return tiers
    return []


def _layouts_of_tokens(
    start: CallingConvention, documentation: Documentation, requirements: Requirements, attempts: dict[str, str]
) -> list[list[CallingConvention]]:
    stated = documentation.axes(start.interface.kind)
    if requirements.axes:
        order = tuple(a for a in _TOKEN_AXES if requirements.axes in a) or (requirements.axes,)
    else:
        order = (*stated, *(a for a in _TOKEN_AXES if a not in stated))
    candidates = [replace(start, weights=weights) for weights in _weights(start)]
    unprojected = start.load or start.projects or start.interface.unprojected  # it takes no matrices
    if "heads" in start.interface.takes and start.interface.key_heads is None and not unprojected:
        candidates.append(start.with_interface(key_heads=1))
    if {"bias", "heads"} & start.interface.takes == {"bias"} and "bias" in start.interface.needs and not unprojected:
        takes = start.interface.takes | {"heads"}
        candidates.insert(0, start.with_interface(kind="multi_head", takes=takes, bias_of_heads=True))
    candidates = [_with_heads(candidate) for candidate in candidates]
    candidates += [one.with_interface(key_heads=1) for one in candidates if one.weights.startswith("stack")]
    for candidate in candidates:
        conventions: list[CallingConvention] = []
        for axes in order:
            if conventions and axes not in ("B" + conventions[0].interface.axes, *stated):
                continue
            conventions += _oriented(candidate.with_interface(axes=axes), documentation, requirements, attempts)
        if candidate.interface.unprojected and conventions and not mixes_tokens(conventions[0]):
            description = f"{candidate.interface.kind} with {in_words(conventions[0])}"
            attempts[description] = "returned for each token something that no other token influences"
            return []
        if conventions:
            return _batched(conventions, stated)
    return []


def _with_heads(candidate: CallingConvention) -> CallingConvention:
    """The candidate with several heads, if its matrices have an axis for them."""
    kind = candidate.interface.kind
    if candidate.weights == "matrix" or kind == "multi_head":
        return candidate
    kind = "multi_head" if kind == "self_attention" else kind
    return candidate.with_interface(kind=kind, takes=candidate.interface.takes | {"heads"})


def _weights(convention: CallingConvention) -> list[str]:
    """The ways of presenting its matrices to try."""
    by_head = {role for role, name in convention.names.items() if isinstance(name, tuple) and EACH in name}
    if by_head:
        return ["list-output" if "Wo" in by_head else "list"]
    if convention.load is not None or convention.interface.heads or not {"Wq", "Wk"} <= convention.names.keys():
        return ["matrix"]
    return [name for name, (inner, output) in WEIGHTS.items() if "Wo" in convention.names or name == inner]


def _batched(options: list[CallingConvention], stated: tuple[str, ...]) -> list[list[CallingConvention]]:
    """Those without a batch axis that also take one, then those that leave the batch alone."""
    in_batches = [c for c in options if c.interface.batch]
    if in_batches and any(_refuses(options, name) and not _refuses(in_batches, name) for name in _OF_ITEMS):
        return [in_batches]
    masked = in_batches and in_batches[0] is not options[0] and "mask" in options[0].interface.takes
    if masked and not _takes_mask(options[0]) and _takes_mask(in_batches[0]):
        return [in_batches]  # its mask is one of items
    first = options[0].interface.axes
    alike = [c for c in options if c.interface.axes == first]
    in_batches_too = any(c.interface.axes == "B" + first for c in options)
    if in_batches_too and (not stated or "B" + first in stated or len(stated) > 1):
        both = [c.with_interface(batched=True) for c in alike]
        return [both, alike]
    if first.startswith("B") and any(c.interface.axes == first[1:] for c in options):
        alone = [c for c in options if c.interface.axes == first[1:]]
        return [[c.with_interface(batched=True) for c in alone], alone]
    return [alike]


def _takes_mask(convention: CallingConvention) -> bool:
    """Whether it takes a mask of queries and keys, or of keys."""
    of_keys = convention.with_interface(key_mask=True)
    return takes_a_mask(convention) or takes_a_mask(of_keys)


def _refuses(options: list[CallingConvention], name: str) -> bool:
    """Whether a function refuses a probe that hides keys of one item, so that it has to be called with a batch."""
    one = next((c for c in options if not c.interface.batch), options[0])
    cases = [p.case for p in probes(one.interface, 0, np.random.default_rng(0)) if p.name == name]
    return bool(cases) and not any(is_plausible(one, case) for case in cases)


def _oriented(
    start: CallingConvention, documentation: Documentation, requirements: Requirements, attempts: dict[str, str]
) -> list[CallingConvention]:
    """The function with its matrices in each orientation that is possible, and with biases as it takes them."""
    if start.load is not None or start.projects or start.interface.unprojected:
        return accepted(start, attempts)
    possible = [c for m in ("out-in", "in-out") for c in accepted(replace(start, matrices=m), attempts, biased=True)]
    if requirements.matrices or not possible:
        return [c for c in possible if c.matrices == requirements.matrices]
    fitting = [c for c in possible if is_plausible(c, wide_probe(c.interface).case)]
    documented = documentation.matrices
    if len(fitting) == 1 and not (documented == "out-in" and fitting[0].matrices == "in-out"):
        return fitting
    if documented == "out-in":
        return [c for c in possible if c.matrices == "out-in"]
    likely = documented or documentation.multiplied
    return sorted(possible, key=lambda c: c.matrices != likely) if likely else possible
