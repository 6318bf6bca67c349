"""The values of arguments as a function receives them: a case in its layouts, by the roles of its arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headwise.checker.arguments.packed import pack_projected, pack_tokens
from headwise.checker.arguments.presentation import (
    arrange_axes,
    fit_to_logits,
    index_of_table,
    present_angles,
    present_by_index,
    present_mask,
    present_pages,
    present_score,
    present_table,
    split_axis,
    table_of_buckets,
)
from headwise.checker.arguments.roles import role_of
from headwise.checker.arguments.settings import Settings
from headwise.checker.calling.matrices import present_weights
from headwise.checker.calling.options import as_function, is_function, window_as_number
from headwise.checker.reference.state import Case, grid, image_sides
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

if TYPE_CHECKING:
    from headwise.checker.calling.invocation import CallingConvention

_ROOM = 3  # tokens for which a cache has room
_MATRIX_OF = {"X": "Wq", "context": "Wk", "values": "Wv"}


def present_arguments(convention: CallingConvention, case: Case, axes: str) -> Case:
    """Return the arguments by their roles, but for masks and biases."""
    if case.get("tokens") == "columns":
        axes = axes.replace("ND", "DN")
    arguments = {name: value for name, value in case.items() if name in convention.names}
    present = _present_tokens if convention.interface.of_tokens else _present_projected
    arguments |= present(convention, case, axes)
    if "kpast" in arguments and "offset" in convention.names:
        arguments |= _in_place(convention, arguments, axes)
    if convention.cache_lists:
        arguments |= _in_lists(convention, arguments, axes)
    arguments |= present_score({name: a for name, a in arguments.items() if name[0] == "S"}, *convention.score)
    sizes = {name: value for name, value in _sizes(convention, case).items() if name in convention.names}
    return sizes | arguments | _present_options(convention, case, axes)


def present_masks(convention: CallingConvention, case: Case, axes: str) -> Iterator[Case]:
    """Yield the mask, the padding mask and the bias in each shape in use, which may be the same several times."""
    interface = convention.interface
    order = ("items", "short", "full") if interface.mask_axes == "BNM" else ("short", "full", "items")
    several = ("heads",) if "bias" in case and interface.multi_head else ()  # of which there may be one
    of_biases: tuple[str, ...] = ("folded", "heads-last") if "bias" in case and convention.load is not None else ()
    of_biases = of_biases or ("each-head",) * ("bias" in case)
    shapes = (convention.mask_shape,) if convention.mask_shape else (*several, *order, "one-head", *of_biases)
    for shape in shapes:
        of_masks = "short" if shape in ("heads", *of_biases) else shape
        yield {
            name: _present_mask(convention, case, name, shape if name == "bias" else of_masks, axes)
            for name in ("mask", "bias", "padding")
            if name in case and name in convention.names
        }


def _present_mask(convention: CallingConvention, case: Case, name: str, shape: str, axes: str) -> Any:
    """The mask, padding mask or bias in one shape, as a function of indices, or as a table."""
    array, interface = case[name], convention.interface
    if is_function(convention.names[name]):
        return as_function(array, str(convention.names[name]), grid(case), convention.convert)
    if name == "bias" and "index" in convention.names:
        return present_by_index(array, grid(case))
    if name == "bias" and convention.bias_table:
        return present_table(array, convention.bias_table)
    of_keys = name == "padding" or (name == "mask" and interface.key_mask) or interface.one_query
    broadcast = name == "mask" and interface.mask_axes == "B11M"
    fitted = array if broadcast else fit_to_logits(array, shape, grid(case), axes, of_keys)
    if name != "bias":
        fitted = present_mask(fitted, convention.senses[name])
    return fitted.astype(convention.mask_type) if convention.mask_type and fitted.dtype == np.bool_ else fitted


def _present_tokens(convention: CallingConvention, case: Case, axes: str) -> Case:
    """Tokens, a context, earlier tokens and matrices."""
    arguments: Case = {}
    for name in ("X", "context", "values"):
        source = case.get(name)
        if name == "values" and source is None:
            source = case.get("context", case["X"])
        needed = name in convention.interface.needs or "values" in convention.names
        if name == "context" and source is None and needed:
            source = case["X"]
        if name in convention.names and source is not None:
            source = source @ case[_MATRIX_OF[name]].T if convention.projects else source
            layout = convention.query_axes(axes) if name == "X" else axes
            arguments[name] = arrange_axes(source, "BND", layout)
            if name == "X" and convention.interface.pooled and "B" in layout:
                arguments[name] = arguments[name][0]
    if "kpast" in convention.names:
        arguments |= _past_tokens(case, axes, convention.cache)
    if convention.packed:
        parts = convention.interface.packed
        arguments[parts] = pack_tokens(case, convention.packed, axes, parts)
    elif convention.load is None:
        arguments |= present_weights(case, convention)
    return arguments


def _present_projected(convention: CallingConvention, case: Case, axes: str) -> Case:
    """Queries, keys and values, in one array or in pages, with those of earlier tokens apart."""
    names, interface = convention.names, convention.interface
    of_keys = axes.replace("H", "") if interface.key_heads == 1 else axes
    layouts = {"q": convention.query_axes(axes), "k": of_keys, "v": of_keys}
    arguments = {x: arrange_axes(case[x], "BHNd", layout) for x, layout in layouts.items() if x in names}
    if convention.grouped:
        arguments["q"] = split_axis(arguments["q"], axes.index("H"), case["k"].shape[1])
    if "sinks" in case and "sinks" in names:
        arguments["sinks"] = case["sinks"][0] if "H" in axes else case["sinks"][0, 0]
    if interface.packed:
        arguments[interface.packed] = pack_projected(case, convention.packed, interface.packed)
    if "pages" in names:
        arguments |= present_pages(case["k"], case["v"], convention.cache)
    if "kpast" in names:
        arguments |= _with_past(arguments, axes.index("N"), interface.one_query)
    return arguments


def _present_options(convention: CallingConvention, case: Case, axes: str) -> Case:
    """What changes logits or hides keys and is neither a mask nor a bias."""
    options: Case = {}
    interface = convention.interface
    several = "H" in axes or interface.of_tokens
    if "cos" in case:
        options |= present_angles(case["cos"], case["sin"], convention.angles)
    if "buckets" in convention.names:
        options["buckets"] = table_of_buckets(grid(case)[1], convention.bias_table)
    if "index" in convention.names:
        options["index"] = index_of_table(*grid(case)[2:])
    if "segments" in case:
        options |= _present_segments(case["segments"], "B" in axes and not interface.segments_shared)
    if "positions" in convention.names:
        positions = np.tile(np.arange(grid(case)[2]), (grid(case)[0], 1))
        options["positions"] = positions if "B" in axes and not interface.segments_shared else positions[0]
    if "prefix" in case:
        options["prefix"] = case["prefix"] if interface.prefix_each else int(case["prefix"][0])
    if "logscale" in case:
        options["logscale"] = case["logscale"] if several else case["logscale"][0, 0]
    if "slopes" in case:
        options["slopes"] = case["slopes"][:, 0, 0] if several else float(case["slopes"][0, 0, 0])
    if "lengths" in case and role_of(str(convention.names.get("lengths"))) == "padding":  # a mask that is counted
        kept = np.arange(grid(case)[3]) < case["lengths"][:, None]
        options["lengths"] = kept if "B" in axes else kept[0]
    elif "lengths" in case and "B" not in axes:
        options["lengths"] = int(case["lengths"][0])
    if "window" in case:
        options |= dict(zip(("left", "right"), case["window"] or (None, None), strict=True))
        if convention.window != "pair" and case["window"] is not None:
            options["window"] = window_as_number(case["window"][0], convention.window)
    return {name: value for name, value in options.items() if name in convention.names}


def _in_lists(convention: CallingConvention, arguments: Case, axes: str) -> Case:
    """Keys and values of earlier tokens in lists with an entry for each, without an axis if queries have none."""
    axis = _cache_axes(convention, axes).index("N")
    past = {x: arguments[x] for x in ("kpast", "vpast")}
    if convention.interface.one_query:
        return {x: list(np.moveaxis(a, axis, 0)) for x, a in past.items()}
    return {x: np.split(a, a.shape[axis], axis=axis) if a.shape[axis] else [] for x, a in past.items()}


def _cache_axes(convention: CallingConvention, axes: str) -> str:
    """The axes of keys and values of earlier tokens."""
    layout = convention.cache if convention.interface.of_tokens and convention.cache else axes
    return layout if "B" in axes else layout.replace("B", "")


def _in_place(convention: CallingConvention, arguments: Case, axes: str) -> Case:
    """How many earlier tokens there are, and their keys and values with room for more where there is some."""
    layout = _cache_axes(convention, axes)
    axis = layout.index("N")
    past = {x: arguments[x] for x in ("kpast", "vpast")}
    count = past["kpast"].shape[axis]
    if convention.interface.preallocated:
        sizes = [(0, _ROOM if place == axis else 0) for place in range(len(layout))]
        past = {x: np.pad(a, sizes, constant_values=7.0) for x, a in past.items()}
    return past | {"offset": count}


def _sizes(convention: CallingConvention, case: Case) -> Case:
    """Sizes, objects of settings that hold them, and gains of ones."""
    heads = case.get("heads", 1)
    d = case["Wq"].shape[0] // heads if "X" in case else case["q"].shape[-1]
    model = case["X"].shape[-1] if "X" in case else d * case["q"].shape[1]
    rows, columns = image_sides(grid(case)[2])
    sides = {"rows": rows, "columns": columns, "grid": (rows, columns)}
    sizes = {"model": model, "heads": heads, "key_heads": heads, "width": d, "context": model}
    config = Settings(sizes | {"length": 64, "dropout": 0.0})
    repeats = case["q"].shape[1] // case["k"].shape[1] if "q" in case else 1
    layer = Settings(sizes, num_key_value_groups=repeats, training=False, scaling=d**-0.5, config=config)
    gains = {role: np.ones(d) for role in convention.names if role.startswith("gain of ")}
    sides |= {"repeats": repeats, "layer": layer, "bucket count": 32, "longest distance": 128}
    starts = np.diff(case["segments"][0], prepend=0).astype(bool).sum() if "segments" in case else 0
    sides |= {"items": int(starts) if "starts" in convention.names else grid(case)[0]}
    sides |= {"query count": grid(case)[2], "key count": grid(case)[3]}
    sides |= {"key head count": case["k"].shape[1] if "k" in case else heads}
    sides |= {"dtype": case["X" if "X" in case else "q"].dtype}
    return {"weights?": True, "tokens": "rows", "d": d, "D": model, "config": config} | sides | gains


def _present_segments(segments: Array, batched: bool) -> Case:
    """Segments as a number for each token, or as the places where each begins and the length of the longest."""
    first = np.diff(segments, prepend=0, axis=1) != 0
    places = np.arange(segments.shape[1])
    restarts = places - np.maximum.accumulate(np.where(first, places, 0), axis=1)
    starts = np.append(np.flatnonzero(first[0]), segments.shape[1]).astype(np.int32)
    longest = int(np.diff(starts).max())
    return {
        "segments": segments if batched else segments[0],
        "restarts": restarts if batched else restarts[0],
        "starts": starts,
        "key_starts": starts,
        "longest": longest,
        "longest_key": longest,
    }


def _past_tokens(case: Case, axes: str, layout: str) -> Case:
    """Keys and values of all tokens but the last, of all heads side by side or of each in a layout."""
    past = {x: case["context"][:, :-1] @ case[f"W{x}"].T + case.get(f"b{x}", 0) for x in "kv"}
    if layout:
        layout = layout if "B" in axes else layout.replace("B", "")
        heads = case.get("key_heads", case["heads"])
        split = {x: a.reshape(*a.shape[:2], heads, -1) for x, a in past.items()}
        return {f"{x}past": arrange_axes(a, "BNHd", layout) for x, a in split.items()}
    return {f"{x}past": arrange_axes(a, "BND", axes) for x, a in past.items()}


def _with_past(arguments: Case, axis: int, alone: bool) -> Case:
    """Keys and values in two pieces: those of earlier tokens, and new ones, as many as queries or one by itself."""
    count = max(0, arguments["k"].shape[axis] - (1 if alone else arguments["q"].shape[axis]))
    pieces = {x: np.split(arguments[x], [count], axis=axis) for x in "kv"}
    past = {"kpast": pieces["k"][0], "vpast": pieces["v"][0]}
    return past | {x: pieces[x][1].take(0, axis=axis) if alone else pieces[x][1] for x in "kv"}
