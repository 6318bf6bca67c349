"""Calling a function: what is passed as which argument.

A function is not trusted: its arguments are copies, and its warnings and prints are suppressed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwise.checker.arguments.containers import Path, pack
from headwise.checker.calling.matrices import Layer
from headwise.checker.calling.responses import Response, collected, has_shape, read_response
from headwise.checker.calling.returned_names import in_order
from headwise.checker.calling.values import present_arguments, present_masks
from headwise.checker.probes import Interface
from headwise.checker.reference.state import Case, Change
from headwise.checker.user_code.execution import quiet_user_code
from headwise.checker.user_code.jax_calls import call_compiled
from headwise.checker.user_code.numpy_guard import np
from headwise.errors import describe_exception
from headwise.shapes import Array


@dataclass(frozen=True, slots=True)
class CallingConvention:
    """One way of calling a function."""

    function: Callable[..., Any]  # the function, or its adapter around it
    interface: Interface  # the arguments that it takes, and the layout of its tokens
    # from the reference's names to the function's; an int is a place among positional arguments, a tuple is an argument
    # and the keys under which it holds the matrix
    names: Mapping[str, str | int | Path]
    matrices: str = "out-in"  # what the rows of its matrices are
    rows: str = ""  # the order of the rows of a fused matrix that it states, as ``"H3d"``; nothing for the usual one
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
    # the names of what it returns in a tuple of three or more, by how many they are
    returns: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    query_axis: bool = False  # whether its only query has an axis of tokens
    grouped: bool = False  # whether queries have an axis for those of a key head, after that of key heads
    angles: str = "half"  # how it takes rotary angles: a form of `present_angles`
    # ``"pair"`` for (left, right) or two arguments, or a name in `WINDOWS` if a window is one number
    window: str = "pair"
    # how its bias is given as a table of the distances between tokens: a name in
    # `headwise.checker.arguments.presentation.TABLES`, or nothing if it has an entry for each pair
    bias_table: str = ""
    weights_only: bool = False  # whether it returns the attention weights alone
    layers: bool = False  # whether its matrices are passed as layers that it calls with the tokens
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
    cache_lists: bool = False  # whether these are lists with an entry for each token
    # whether the matrices are applied before the call, for a function that only divides their products into heads
    projects: bool = False
    # entries of the catalogue that a module follows by design, as in `Target`
    design: tuple[tuple[str, Change], ...] = ()
    lowers: bool = False  # whether its framework computes in float32 whatever it is given
    coarse: bool = False  # whether some of a module's numbers may be rounded to float32
    # whether tokens in another order give the same outputs in that order, once it is measured
    equivariant: bool | None = None

    def with_interface(self, **changes: Any) -> CallingConvention:
        """The convention with other arguments, or with arguments in another form."""
        return replace(self, interface=replace(self.interface, **changes))

    def with_design(self, *entries: tuple[str, Change]) -> CallingConvention:
        """The convention of a function that follows more entries by design."""
        return replace(self, design=(*self.design, *entries))

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
        with contextlib.suppress(Exception), quiet_user_code():
            return self._run(positional, keywords)
        return None

    def _call(self, arguments: Case, case: Case) -> Response:
        copies = self._copies(arguments)
        try:
            with quiet_user_code():
                if self.load is not None:
                    self.load(
                        {name: a for name, a in case.items() if name[0] in "Wb" and name[1:] in ("q", "k", "v", "o")}
                    )
                positional, keywords = self._bind(copies)
                result = self._run(positional, keywords)
                if result is None:
                    return Response(None, error="returned None: its return is missing, or it is not written yet")
                response = self._read(result, case)
        except Exception as error:  # whatever the function raises is an outcome, not a failure of ours
            return Response(None, error=describe_exception(error))
        changed = tuple(name for name, a in copies.items() if not _same(a, arguments[name]))
        return replace(response, changed=changed)

    def _run(self, positional: list[Any], keywords: dict[str, Any]) -> Any:
        if self.load is not None:  # a module's state is not among its arguments
            return collected(self.function(*positional, **keywords))
        return collected(call_compiled(self.function, *positional, **keywords))

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
            if self.layers and role[0] == "W":
                converted = [Layer(w) for w in converted] if isinstance(converted, list) else Layer(converted)
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
        if isinstance(value, np.dtype):
            return self.convert(np.zeros(1, value)).dtype
        return self.convert(value) if isinstance(value, np.ndarray) else value

    def presentations(self, case: Case) -> Iterator[Case]:
        """The arguments as the function wants them, with the mask and the bias in each shape in use."""
        axes = self._axes(case)
        arguments = present_arguments(self, case, axes)
        shapes_before = set()
        for masks in present_masks(self, case, axes):
            if (key := tuple(getattr(a, "shape", ()) for a in masks.values())) not in shapes_before:
                shapes_before.add(key)
                yield arguments | masks

    def _axes(self, case: Case) -> str:
        """The layout for one case: a batch of tokens has a batch axis even where one item has none."""
        axes = self.interface.axes
        if self.interface.of_tokens and "B" not in axes and case["X"].shape[0] > 1:
            return "B" + axes
        return axes

    def query_axes(self, axes: str) -> str:
        """The axes of queries and outputs."""
        return axes.replace("N", "") if self.interface.one_query and not self.query_axis else axes

    def _read(self, result: Any, case: Case) -> Response:
        axes = self._axes(case)
        if case.get("tokens") == "columns":
            axes = axes.replace("ND", "DN")
        axes = self.query_axes(axes)
        if self.output:
            axes = axes.replace("HN", "NH")
        groups = axes.index("H") if self.grouped else None
        return read_response(
            in_order(result, self.returns), case, axes, self.weights_only, self.output == "merged", groups
        )


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
