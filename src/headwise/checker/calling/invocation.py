"""Calling a function: what is passed as which argument.

A function is not trusted: its arguments are copies, and its warnings and prints are suppressed.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwise.checker.arguments.containers import Path, pack
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
    table_of_buckets,
)
from headwise.checker.arguments.settings import Settings
from headwise.checker.calling.matrices import present_weights
from headwise.checker.calling.options import as_function, is_function, window_as_number
from headwise.checker.calling.responses import Response, grid, has_shape, read_response, sides_of
from headwise.checker.probes import Interface
from headwise.checker.reference.state import Case, Change
from headwise.checker.user_code.execution import user_code
from headwise.checker.user_code.numpy_guard import np, unchanged_numpy
from headwise.errors import describe_exception
from headwise.shapes import Array

_ROOM = 3  # tokens for which a cache has room
_MATRIX_OF = {"X": "Wq", "context": "Wk", "values": "Wv"}


@dataclass(frozen=True, slots=True)
class CallingConvention:
    """One way of calling a function."""

    function: Callable[..., Any]  # the function, or its adapter around it
    interface: Interface  # the arguments that it takes, and the layout of its tokens
    # from the reference's names to the function's; an int is a place among positional arguments, a tuple is an argument
    # and the keys under which it holds the matrix
    names: Mapping[str, str | int | Path]
    matrices: str = "out-in"  # what the rows of its matrices are
    # whether it takes one matrix for all heads, an array with a head axis in front, a list with one matrix for each
    # head, or arrays (D, H, d) and (H, d, D), as Keras does: a key of `headwise.checker.calling.matrices.WEIGHTS`
    weights: str = "matrix"
    # what True means in its `mask` and in its `padding` mask: ``"attends"``, ``"hides"``, or ``"adds"`` for numbers to
    # add
    senses: Mapping[str, str] = field(default_factory=lambda: {"mask": "attends", "padding": "attends"})
    # the only shape in which its mask is passed, as in `fit_to_logits`; every one is tried if empty
    mask_shape: str = ""
    mask_type: str = ""  # the type of ones and zeros in its masks, for a function that refuses True and False
    strided: bool = False  # whether arrays are passed in Fortran order, and with gaps between their numbers
    score: tuple[bool, bool, str] = (False, False, "vector")  # how it takes the parts of a score: see `present_score`
    # "tokens-first" or "merged" for an output whose axis of heads is after that of tokens, or part of the last
    output: str = ""
    # how it takes rotary angles: a name in `headwise.checker.arguments.presentation.ANGLES`
    angles: str = "half"
    # ``"pair"`` for (left, right) or two arguments, or a name in `WINDOWS` if a window is one number
    window: str = "pair"
    # how its bias is given as a table of the distances between tokens: a name in
    # `headwise.checker.arguments.presentation.TABLES`, or nothing if it has an entry for each pair
    bias_table: str = ""
    weights_only: bool = False  # whether it returns the attention weights alone
    bias_column: bool = False  # whether the biases of its projections are columns, (D, 1)
    fixed: Mapping[str, Any] = field(default_factory=dict)  # arguments that are always passed, by the function's names
    # codes of conventions that are built into the function, such as ``"causal-unasked"``
    built_in: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()  # its arguments that are never passed
    # what a copy of an array is turned into first: nothing for NumPy, a tensor for torch
    convert: Callable[[Array], Any] = np.asarray
    load: Callable[[Mapping[str, Array]], None] | None = None  # takes the matrices of a module, which are not arguments
    # how queries, keys and values come in one array: a layout of `headwise.checker.arguments.packed`, or nothing
    packed: str = ""
    # the axes of keys and values of earlier tokens, or in pages, of each head; empty for all heads side by side
    cache: str = ""
    # whether the matrices are applied before the call, for a function that only divides their products into heads
    projects: bool = False
    # entries of the catalogue that a module follows by design, as in `Target`
    design: tuple[tuple[str, Change], ...] = ()
    lowers: bool = False  # whether its framework computes in float32 whatever it is given
    coarse: bool = False  # whether some of a module's numbers may be rounded to float32
    # whether tokens in another order give the same outputs in that order, once it is measured
    equivariant: bool | None = None

    def with_fixed(self, name: str, value: Any) -> CallingConvention:
        """The convention with a value that an argument always gets, whatever it stood for."""
        names = {role: argument for role, argument in self.names.items() if argument != name}
        return replace(self, names=names, fixed={**self.fixed, name: value})

    def call(self, case: Case) -> Response:
        """Call the function on one case; a mask is offered in the other shapes in use if its first is refused."""
        first: Response | None = None
        for arguments in self.presentations(case):
            response = self._call(arguments, case)
            if has_shape(response, case):
                return response  # a mask of a wrong shape may be accepted, and change the shape of the output
            if first is None or first.output is None:
                first = response
        assert first is not None
        for name in ("mask", "bias"):
            if first.output is not None and name in case and case[name].shape[1] > 1:  # it has no axis for heads
                return Response(None, error=f"it returns shape {first.output.shape} with a {name} for each head")
        return first

    def arguments(self, case: Case) -> Case:
        """The arguments of a case as the function receives them, by the function's own names."""
        return {
            name if not isinstance(self.names.get(name), str) else str(self.names[name]): value
            for name, value in next(self.presentations(case)).items()
            if name != "weights?"
        }

    def returned(self, case: Case) -> Any:
        """What the function returns for a case, as it is; None if it raises."""
        copies = self._copies(next(self.presentations(case)))
        positional, keywords = self._bind(copies)
        with contextlib.suppress(Exception), _quiet():
            return self.function(*positional, **keywords)
        return None

    def _call(self, arguments: Case, case: Case) -> Response:
        copies = self._copies(arguments)
        try:
            with _quiet():
                if self.load is not None:
                    self.load(
                        {name: a for name, a in case.items() if name[0] in "Wb" and name[1:] in ("q", "k", "v", "o")}
                    )
                positional, keywords = self._bind(copies)
                response = self._read(self.function(*positional, **keywords), case)
        except Exception as error:  # whatever the function raises is an outcome, not a failure of ours
            return Response(None, error=describe_exception(error))
        changed = tuple(name for name, a in copies.items() if not _same(a, arguments[name]))
        return replace(response, changed=changed)

    def _copies(self, arguments: Case) -> Case:
        """Copies of the arguments, one of an array that is passed twice."""
        copies: dict[object, Any] = {}
        return {name: copies.setdefault(_identity(a), _copied(a, self.strided)) for name, a in arguments.items()}

    def _bind(self, arguments: Case) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments."""
        places: list[tuple[int, Any]] = []
        keywords: dict[str, Any] = dict(self.fixed)
        parts: dict[str, list[tuple[Path, Any]]] = {}
        for role, value in arguments.items():
            name, converted = self.names[role], self._converted(value)
            if isinstance(name, int):
                places.append((name, converted))
            elif isinstance(name, tuple):
                parts.setdefault(str(name[0]), []).append((name[1:], converted))
            else:
                keywords[name] = converted
        keywords |= {name: pack(leaves) for name, leaves in parts.items()}
        for name in [name for name in keywords if "." in name]:  # an attribute of an object of settings
            holder, _, attribute = name.partition(".")
            keywords[holder][attribute] = keywords.pop(name)
        return [value for _, value in sorted(places, key=lambda pair: pair[0])], keywords

    def _converted(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.convert(a) for a in value]
        return self.convert(value) if isinstance(value, np.ndarray) else value

    def presentations(self, case: Case) -> Iterator[Case]:
        """The arguments as the function wants them, with the mask and the bias in each shape in use."""
        axes = self._axes(case)
        arguments = self._plain(case, axes)
        shapes_before = set()
        order: tuple[str, ...] = (
            ("items", "short", "full") if self.interface.mask_axes == "BNM" else ("short", "full", "items")
        )
        if "bias" in case and self.interface.multi_head:
            order = ("heads", *order)  # a bias of the heads, of which there may be one
        of_biases = ("folded", "heads-last") if "bias" in case and self.load is not None else ()
        for shape in [self.mask_shape] if self.mask_shape else (*order, "one-head", *of_biases):
            masks: Case = {}
            for name in ("mask", "bias", "padding"):
                if name in case and is_function(self.names.get(name)):
                    masks[name] = as_function(case[name], str(self.names[name]), grid(case), self.convert)
                elif name == "bias" and name in case and "index" in self.names:
                    masks[name] = present_by_index(case[name], grid(case))
                elif name == "bias" and name in case and self.bias_table:
                    masks[name] = present_table(case[name], self.bias_table)
                elif name in case and name in self.names:
                    of_keys = name == "padding" or (name == "mask" and self.interface.key_mask)
                    of_keys = of_keys or self.interface.one_query
                    mask_shape = "short" if shape in ("heads", *of_biases) and name != "bias" else shape
                    fitted = fit_to_logits(case[name], mask_shape, grid(case), axes, of_keys)
                    masks[name] = fitted if name == "bias" else present_mask(fitted, self.senses[name])
                    if self.mask_type and masks[name].dtype == np.bool_:
                        masks[name] = masks[name].astype(self.mask_type)
            if (key := tuple(getattr(a, "shape", ()) for a in masks.values())) not in shapes_before:
                shapes_before.add(key)
                yield arguments | masks

    def _axes(self, case: Case) -> str:
        """The layout for one case: a batch of tokens has a batch axis even where one item has none."""
        axes = self.interface.axes
        if self.interface.of_tokens and "B" not in axes and case["X"].shape[0] > 1:
            return "B" + axes
        return axes

    def _query_axes(self, axes: str) -> str:
        """The axes of queries and outputs."""
        return axes.replace("N", "") if self.interface.one_query else axes

    def _plain(self, case: Case, axes: str) -> Case:
        arguments = {name: value for name, value in case.items() if name in self.names}
        if self.interface.of_tokens:
            if case.get("tokens") == "columns":
                axes = axes.replace("ND", "DN")
            for name in ("X", "context", "values"):
                source = case.get("context", case["X"]) if name == "values" else case.get(name)
                needed = name in self.interface.needs or "values" in self.names
                if name == "context" and source is None and needed:
                    source = case["X"]
                if name in self.names and source is not None:
                    source = source @ case[_MATRIX_OF[name]].T if self.projects else source
                    arguments[name] = arrange_axes(source, "BND", self._query_axes(axes) if name == "X" else axes)
            if "kpast" in self.names:
                arguments |= _past_tokens(case, axes, self.cache)
            if self.packed:
                arguments["qkv"] = pack_tokens(case, self.packed, axes)
            elif self.load is None:
                arguments |= present_weights(case, self)
        else:
            of_keys = axes.replace("H", "") if self.interface.key_heads == 1 else axes
            layouts = {"q": self._query_axes(axes), "k": of_keys, "v": of_keys}
            arguments |= {x: arrange_axes(case[x], "BHNd", layout) for x, layout in layouts.items() if x in self.names}
            if "sinks" in arguments and "H" not in axes:
                arguments["sinks"] = arguments["sinks"][0, 0]
            elif "sinks" in arguments:
                arguments["sinks"] = arguments["sinks"][0]
            if parts := self.interface.packed:
                arguments[parts] = pack_projected(case, self.packed, parts)
            if "pages" in self.names:
                arguments |= present_pages(case["k"], case["v"], self.cache)
            if "kpast" in self.names:
                arguments |= _with_past(arguments, axes.index("N"), self.interface.one_query)
        if "kpast" in arguments and "offset" in self.names:
            arguments |= self._in_place(arguments, axes)
        arguments |= present_score({name: a for name, a in arguments.items() if name[0] == "S"}, *self.score)
        if "cos" in case:
            presented = present_angles(case["cos"], case["sin"], self.angles)
            arguments |= {name: value for name, value in presented.items() if name in self.names}
        if "buckets" in self.names:
            arguments["buckets"] = table_of_buckets(grid(case)[1], self.bias_table)
        if "index" in self.names:
            arguments["index"] = index_of_table(*grid(case)[2:])
        if "segments" in case:
            presented = _presented_segments(case["segments"], "B" in axes)
            arguments |= {name: value for name, value in presented.items() if name in self.names}
        if "prefix" in arguments:
            arguments["prefix"] = case["prefix"] if self.interface.prefix_each else int(case["prefix"][0])
        if "logscale" in arguments:
            several = "H" in axes or self.interface.of_tokens
            arguments["logscale"] = case["logscale"] if several else case["logscale"][0, 0]
        if "slopes" in arguments:
            several = "H" in axes or self.interface.of_tokens
            arguments["slopes"] = case["slopes"][:, 0, 0] if several else float(case["slopes"][0, 0, 0])
        if "lengths" in arguments and "B" not in axes:
            arguments["lengths"] = int(case["lengths"][0])
        if self.window != "pair" and arguments.get("window") is not None:
            arguments["window"] = window_as_number(case["window"][0], self.window)
        if "window" in case:
            sides = dict(zip(("left", "right"), case["window"] or (None, None), strict=True))
            arguments |= {side: number for side, number in sides.items() if side in self.names}
        return {name: value for name, value in self._widths(case).items() if name in self.names} | arguments

    def _in_place(self, arguments: Case, axes: str) -> Case:
        """How many earlier tokens there are, and their keys and values with room for more where there is some."""
        layout = self.cache if self.interface.of_tokens and self.cache else axes
        layout = layout if "B" in axes else layout.replace("B", "")
        axis = layout.index("N")
        past = {x: arguments[x] for x in ("kpast", "vpast")}
        count = past["kpast"].shape[axis]
        if self.interface.preallocated:
            sizes = [(0, _ROOM if place == axis else 0) for place in range(len(layout))]
            past = {x: np.pad(a, sizes, constant_values=7.0) for x, a in past.items()}
        return past | {"offset": count}

    def _widths(self, case: Case) -> Case:
        heads = case.get("heads", 1)
        d = case["Wq"].shape[0] // heads if "X" in case else case["q"].shape[-1]
        model = case["X"].shape[-1] if "X" in case else d * case["q"].shape[1]
        _, _, n, _ = grid(case)
        rows, columns = sides_of(n)
        sides = {"rows": rows, "columns": columns, "grid": (rows, columns)}
        sizes = {"model": model, "heads": heads, "key_heads": heads, "width": d, "context": model}
        config = Settings(sizes | {"length": 64, "dropout": 0.0})
        repeats = case["q"].shape[1] // case["k"].shape[1] if "q" in case else 1
        layer = Settings(sizes, num_key_value_groups=repeats, training=False, scaling=d**-0.5, config=config)
        gains = {role: np.ones(d) for role in self.names if role.startswith("gain of ")}
        sides |= {"repeats": repeats, "layer": layer, "bucket count": 32, "longest distance": 128}
        return {"weights?": True, "tokens": "rows", "d": d, "D": model, "config": config} | sides | gains

    def _read(self, result: Any, case: Case) -> Response:
        axes = self._axes(case)
        if case.get("tokens") == "columns":
            axes = axes.replace("ND", "DN")
        axes = self._query_axes(axes)
        if self.output:
            axes = axes.replace("HN", "NH")
        return read_response(result, case, axes, self.weights_only, self.output == "merged")


def _presented_segments(segments: Array, batched: bool) -> Case:
    """Segments as a number for each token, or as the places where each begins and the length of the longest."""
    starts = np.append(np.flatnonzero(np.diff(segments[0], prepend=0)), segments.shape[1]).astype(np.int32)
    longest = int(np.diff(starts).max())
    return {
        "segments": segments if batched else segments[0],
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


def _identity(value: Any) -> object:
    """The same for two views of the same numbers."""
    if not isinstance(value, np.ndarray):
        return id(value)
    return value.__array_interface__["data"][0], value.shape, value.strides, value.dtype.str


def _copied(value: Any, strided: bool) -> Any:
    if isinstance(value, list):
        return [_copied(a, strided) for a in value]
    if not isinstance(value, np.ndarray):
        return value
    if not strided or not value.ndim:
        return np.array(value)
    wide = np.empty((*value.shape[::-1], 2), value.dtype)
    wide[..., 0] = value.T
    return wide[..., 0].T


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return not isinstance(a, np.ndarray) or (a.shape == b.shape and a.tobytes() == b.tobytes())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what a function prints and warns of, and undo what it does to NumPy."""
    with (
        unchanged_numpy(),
        np.errstate(all="ignore"),
        warnings.catch_warnings(),
        user_code(),
    ):
        warnings.simplefilter("ignore")
        yield
