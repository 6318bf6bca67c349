"""Calling a layer with tokens: which arguments of its forward method are tokens, and in which axes it wants them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product

from headwise.checker.arguments.roles import FLAGS, role_of, tokens_among
from headwise.checker.modules.call import USUAL_COUNT, Call, CallError
from headwise.checker.modules.extras import tables
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.layouts import AXES, OF_ONE_GROUP, has_tokens_first
from headwise.checker.modules.pairs import Pairs, possible_pairs, without_pairs
from headwise.checker.modules.positions import position_arguments, position_forms, rotated_widths
from headwise.checker.modules.reduction import strided_kernel
from headwise.checker.reference.differences import difference
from headwise.checker.target import TargetSizes
from headwise.checker.user_code.numpy_guard import np

_NEUTRAL = {"offset": 0}  # for arguments that have to be passed
_RESIDUAL = {"residual", "residuals", "skip", "identity", "shortcut"}  # what a layer adds to its output: nothing
_OF_PLACES = re.compile(r"pos|rot|mask|bbox|coord|layout|dist|edge|rel_|bias")  # names of what is no tokens
_SELF = re.compile(r"(is_?)?self_?att(n|ention)")  # flags of layers without one
_CROSS = re.compile(r"(is_?)?(cross|encoder_?decoder)(_?att(n|ention))?")  # flags of layers with a context
_CLOSE = 1e-3  # a norm adds a small number to what it divides by
_OTHER = 9  # where the layer is as wide as that
# numbers of tokens in code, and in comments on the shape of tokens
_COUNTED = re.compile(
    r"\b(?:range|zeros|ones|empty|full|tri|eye|view|reshape|shape)[ (]+(?:\d+, ?(?=\d+, ?\d))?(\d{1,3})\b"
)
_MOST = 260  # tokens: as many as those of a grid of 16 × 16 and some more
_MOST_ERRORS = 2_000  # after which a layer is refused: those that work are called within a thousand tries
_VISIBLE = tuple(product(("BNN", "NN", "BN", "B1NN", "B11N"), (True, False, 0.0)))  # masks that may hide nothing
_UNBIASED = tuple(product(("BHNN", "HNN", "NN", "BNNH", "FNN"), (0.0,)))  # biases of nothing; F is B · H


def working_calls(layer: Layer, options: Iterable[TargetSizes]) -> list[Call]:
    """The ways of calling a layer that give an output of the shape of attention, the usual first.

    Those that take other numbers of tokens too count before those that take one number only.

    `layer`: what is called.
    `options`: sizes that it may have; the first with which there is a way counts.
    Raises CallError if there is none.
    """
    options = list(options)
    for sizes in options:
        for pairs in possible_pairs(layer, sizes.heads):
            layer.write(pairs.stored)
            without = replace(layer, parameters=without_pairs(layer, pairs))
            if working := _working_calls(without, [sizes], pairs):
                return [_with_norm_of_pairs(call, sizes) for call in working]
            layer.write({pairs.matrix.name: np.zeros(pairs.matrix.shape)})
    errors: list[str] = []
    if working := _working_calls(layer, options, errors=errors):
        return working
    raise CallError(errors[0])


def _with_norm_of_pairs(call: Call, sizes: TargetSizes) -> Call:
    """The call, with features of pairs for a norm where twice as large ones do the same as they do."""
    assert call.pairs is not None
    rng = np.random.default_rng(0)
    X = rng.normal(size=(call.batch, call.rows, sizes.model))
    bias = rng.normal(size=(call.batch, sizes.heads, call.count, call.count))
    weaker, stronger = (
        replace(call, arguments={**call.arguments, **call.pair_features(times * bias)}, pairs=None)(X)
        for times in (1.0, 2.0)
    )
    if difference(weaker, stronger) > _CLOSE or difference(weaker, call(X)) < _CLOSE:
        return call
    pairs = replace(call.pairs, normalized=True)
    call.layer.write(pairs.stored)
    return replace(call, pairs=pairs)


def _working_calls(
    layer: Layer, options: Iterable[TargetSizes], pairs: Pairs | None = None, errors: list[str] | None = None
) -> list[Call]:
    """As `working_calls`; nothing where there is no way."""
    start, positions = _read_signature(layer, pairs)
    errors = [] if errors is None else errors
    layouts = ("NBD", *AXES) if has_tokens_first(layer.documentation) else AXES
    of_one_count: list[Call] = []  # where a number of tokens may only happen to fit
    ways = [(sizes, *way) for sizes in options for way in _forms_and_widths(layer, positions, sizes.width)]
    for n, (sizes, passed, width) in ((n, way) for n in _likely_first(_counts(layer), errors) for way in ways):
        found = of_one_count and n not in (USUAL_COUNT, _OTHER)  # with other numbers, no layer is shown to take any
        if found or len(errors) >= _MOST_ERRORS:
            break
        others = {name: value for name, value in start.arguments.items() if name not in passed}
        apart = with_optional_context(start) if sizes.context != sizes.model else None
        call = replace(apart or start, arguments=others, positions=passed, width=width, count=n, heads=sizes.heads)
        biases = _UNBIASED if start.biases else (None,)
        for masks in [(None,), _VISIBLE] if start.masks else [(None,)]:
            forms = [(axes, v, u) for axes in layouts for v in masks for u in biases if n != sizes.model]
            possible = [replace(call, axes=axes, visible=v, unbiased=u) for axes, v, u in forms]
            possible += [replace(call, of_first=True)] * (not call.takes_context and n != sizes.model)
            working = [one for one in possible if _works(one, sizes, errors)]
            if not working and passed and takes_any_count(grouped := replace(call, axes=OF_ONE_GROUP), sizes):
                working = [grouped]
            if not working and not call.takes_context and n != sizes.model:
                working = [one for one in _with_latents(call, sizes.model) if _works(one, sizes, errors)]
            if not working and call.takes_context:
                ones = [replace(one, of_one=True) for one in possible]
                working = [one for one in ones if _works(one, sizes, errors)]
            if any_count := [one for one in working if takes_any_count(one, sizes) and _rotates(one, sizes)]:
                return any_count
            of_one_count = of_one_count or _with_twice_as_many(working, sizes) or working
    return of_one_count


def _forms_and_widths(
    layer: Layer, positions: list[dict[str, str]], width: int
) -> Iterator[tuple[dict[str, str], int]]:
    """Each form of positions with each width that rotates: a whole head in any form comes before a part of it."""
    ranked = [(rank, one, w) for one in positions for rank, w in enumerate(rotated_widths(layer, one, width))]
    yield from ((one, w) for _, one, w in sorted(ranked, key=lambda way: way[0]))


def _rotates(call: Call, sizes: TargetSizes) -> bool:
    """Whether the angles of half a head turn it as a whole: rotated alike, tokens attend as without a rotation."""
    if not any(kind.startswith("half-") for kind in call.positions.values()):
        return True
    X = np.random.default_rng(0).normal(size=(call.batch, call.rows, sizes.model))
    return difference(replace(call, turn=1.0, together=True)(X), call(X)) < _CLOSE


def _with_twice_as_many(calls: list[Call], sizes: TargetSizes) -> list[Call]:
    """The calls that take twice as many tokens too, with so many: layers that attend within blocks of tokens."""
    more = [replace(call, count=2 * call.count) for call in calls if 2 * call.count <= _MOST]
    return [c for c in more if c.count != sizes.model and _works(c, sizes, []) and _has_blocks(c, sizes)]


def _has_blocks(call: Call, sizes: TargetSizes) -> bool:
    """Whether some token does not influence some other: else a table for fewer tokens may only happen to fit."""
    rng = np.random.default_rng(0)
    X, context = (
        rng.normal(size=(call.batch, *shape)) for shape in ((call.rows, sizes.model), (call.count, sizes.context))
    )
    other, other_context = X.copy(), context.copy()
    other[:, -1:] += rng.normal(size=sizes.model)
    other_context[:, -1:] += rng.normal(size=sizes.context)
    change = np.abs(call(other, other_context) - call(X, context))
    return bool((change.max(axis=(0, 2)) == 0).any())


def _with_latents(call: Call, model: int) -> Iterator[Call]:
    """The call with each parameter that may be learned queries (K, D) in the place of the tokens."""
    tokens = dict.fromkeys(call.tokens, "context")
    for table in tables(call.layer):
        rows = table.shape[:-1]
        if table.shape[-1] == model and np.prod(rows, initial=1) == max(rows, default=1):
            yield replace(call, tokens=tokens, latents=table.name)
            call.layer.write({table.name: np.zeros(table.shape)})  # as it was


def with_optional_context(call: Call) -> Call | None:
    """The call with a context that the layer may do without, if it takes one."""
    optional = [name for name, p in call.layer.arguments.items() if p.default is None]
    names = [name for name in optional if role_of(name) == "context"]
    if len(names) != 1 or call.takes_context:
        return None
    return replace(call, tokens={**call.tokens, names[0]: "context"})


def has_no_context(layer: Layer) -> bool:
    """Whether a flag says that keys and values come from its tokens, of a class that may take a context too."""
    unset = [name for name, value in layer.attributes.items() if value is False]
    if {"k", "v"} <= {role_of(name) for name, p in layer.arguments.items() if p.default is p.empty}:
        return False  # it has to be given keys and values
    return any(map(_CROSS.fullmatch, unset)) and not any(map(_SELF.fullmatch, unset))


def takes_any_count(call: Call, sizes: TargetSizes) -> bool:
    """Whether a layer takes other numbers of tokens than the one with which it was called first."""
    others = (5, 7)  # as many as the probes have
    return call.count in (USUAL_COUNT, _OTHER) and all(_works(replace(call, count=n), sizes, []) for n in others)


def takes_masks(call: Call, sizes: TargetSizes) -> bool:
    """Whether the masks that have to be passed may be arrays, and are no objects of the layer's own."""
    return call.visible is not None or any(_works(replace(call, visible=form), sizes, []) for form in _VISIBLE)


def _works(call: Call, sizes: TargetSizes, errors: list[str]) -> bool:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(call.batch, call.rows, sizes.model))
    try:
        output = call(X, rng.normal(size=(len(X), call.count, sizes.context)))
    except CallError as error:
        errors.append(str(error))
        return False
    return call.visible is None or bool(np.isfinite(output).all())


def _counts(layer: Layer) -> list[int]:
    """Numbers of tokens to try: six, also of a smaller image that keys are made of, and those of its tables."""
    kernel = strided_kernel(layer)
    smaller = [(USUAL_COUNT if kernel.stride <= 4 else 2) * kernel.stride**2] if kernel else []
    return [*smaller, USUAL_COUNT, _OTHER, *_fixed_counts(layer)]


def _likely_first(counts: list[int], errors: list[str]) -> Iterator[int]:
    """The numbers of tokens: the usual ones, then first the largest of the others that an error of the last names."""
    start, seen = counts.index(_OTHER) + 1, 0
    yield from counts[:start]
    left = dict.fromkeys(counts[start:])
    while left:
        named = {int(number) for error in errors[seen:] for number in re.findall(r"\d+", error)} & left.keys()
        seen, n = len(errors), max(named, default=next(iter(left)))
        del left[n]
        yield n


def _fixed_counts(layer: Layer) -> list[int]:
    """Numbers of tokens that its tables, settings and loops suggest, and one more than those of a grid."""
    tables = [value for value in layer.attributes.values() if hasattr(value, "shape")]
    sides = [side for table in tables for side in table.shape]
    sides += [side for parameter in layer.parameters for side in parameter.shape]
    numbers = [*layer.numbers.values(), *map(int, _COUNTED.findall(layer.documentation))]
    counts = {*sides, *numbers, *(n * n for n in (*sides, *numbers)), *_areas(layer)}
    with_class = {1 + n for n in (*_areas(layer), *(table.shape[-2] for table in tables if table.ndim > 1))} - counts
    likely = [*sorted(counts), *sorted(with_class)]
    return [n for n in likely if 1 < n <= _MOST and n not in (USUAL_COUNT, _OTHER)]


def _areas(layer: Layer) -> Iterator[int]:
    """The numbers of tokens of the grids whose two sides it stores, in one attribute or in two."""
    by_name = {name.lower(): n for name, n in layer.numbers.items()}
    yield from (by_name[h] * by_name[w] for h, w in (("h", "w"), ("height", "width")) if {h, w} <= by_name.keys())
    pairs = (value for value in layer.attributes.values() if isinstance(value, tuple) and len(value) == 2)
    yield from (height * width for height, width in pairs)
    heights, widths = ({p.shape[-place] for p in layer.parameters if _is_of_side(p.shape, place)} for place in (2, 1))
    yield from (height * width for height, width in product(heights, widths))


def _is_of_side(shape: tuple[int, ...], place: int) -> bool:
    """Whether an array has something for each row of a grid (the last axis but one), or for each column (the last)."""
    return len(shape) > 2 and shape[-place] > 1 == shape[place - 3]


def _read_signature(layer: Layer, pairs: Pairs | None) -> tuple[Call, list[dict[str, str]]]:
    """What the arguments are; and which of them give positions: those that have to, then all that may."""
    parameters = [
        p
        for p in layer.arguments.values()
        if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and (pairs is None or p.name != pairs.argument)
    ]
    required = [p.name for p in parameters if p.default is p.empty]
    tokens = tokens_of([p.name for p in parameters], required)
    tokens = {next(iter(tokens)): "X"} if has_no_context(layer) else tokens
    others = {name: role_of(name) or "" for name in required if name not in tokens}
    masks = tuple(name for name, role in others.items() if role in ("mask", "padding"))
    biases = tuple(name for name, role in others.items() if role == "bias")
    neutral = {name: role for name, role in others.items() if name not in (*masks, *biases)}
    arguments = {
        name: 0.0 if name in _RESIDUAL else _NEUTRAL.get(role, FLAGS.get(role[1:])) for name, role in neutral.items()
    }
    positions = position_arguments([p.name for p in parameters if p.name not in tokens])
    needed = {name: kind for name, kind in positions.items() if name in required}
    forms = [form for needs in ([needed] + [positions] * (positions != needed)) for form in position_forms(needs)]
    return Call(layer, tokens, arguments, masks, biases, pairs=pairs), forms


def tokens_of(names: list[str], required: list[str]) -> dict[str, str]:
    """Which arguments take tokens: the first of those that do not say what they are, where no name says it."""
    roles = {name: role_of(name) for name in names}
    if "hidden" in roles and not {"X", "q"} & {*roles.values()}:
        roles["hidden"] = "X"  # the state of a decoder, and no mask
    by_role = {role: name for name, role in reversed(list(roles.items()))}
    if {"q", "k", "v"} <= set(by_role):
        return {by_role["q"]: "X", by_role["k"]: "context", by_role["v"]: "context"}
    several = [name for name in required if roles[name] == "X"]
    if len(several) == 2:
        first, others = tokens_among(several)
        return {first: "X"} | dict.fromkeys(others, "context")
    if "X" in by_role or "q" in by_role:
        first = by_role.get("X", by_role.get("q", ""))
        others = [name for name in required if roles[name] in ("context", "k", "v") and name != first]
        expected = {*position_arguments(names), *_RESIDUAL}
        unknown = [n for n in required if roles[n] is None and n not in expected and not _OF_PLACES.search(n.lower())]
        first, others = tokens_among([first, *(others or unknown[:1])])
        return {first: "X"} | dict.fromkeys(others, "context")
    unknown = [name for name in required if roles[name] in (None, "context")]
    contexts = unknown[1:] if len(unknown) == 3 == len(required) else unknown[1:2]
    return dict.fromkeys((unknown or names)[:1], "X") | dict.fromkeys(contexts, "context")
