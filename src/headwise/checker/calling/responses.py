"""What a function returned: its output and its weights in the reference's layout.

It is not trusted either: it is copied into a plain float64 array before it is compared.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from inspect import isgenerator
from itertools import islice
from typing import Any

import numpy.typing as npt

from headwise.checker.arguments.presentation import AXES, restore_axes
from headwise.checker.calling.returned_names import output_first
from headwise.checker.reference.definition import mix_values
from headwise.checker.reference.state import Case, grid
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_MOST_YIELDED = 5000  # by a generator, which may have no end


@dataclass(frozen=True, slots=True)
class Response:
    """What a function returned, in the reference's layout; `error` if it raised or returned no array."""

    output: Array | None
    weights: Array | None = None
    dtype: str = ""
    framework: str = ""
    changed: tuple[str, ...] = ()
    error: str = ""


def read_response(
    result: Any, case: Case, axes: str, weights_only: bool = False, merged: bool = False, groups: int | None = None
) -> Response:
    """Turn what was returned, in a layout, into an output (B, N, D') or (B, H, N, e), and weights (B, H, N, M).

    Weights that come alone are given the output that they make of the values; `merged` for an output with the heads
    side by side, in place of an axis for them; `groups` is the first of two axes of heads.
    """
    of_tokens = "X" in case
    _, _, n, m = grid(case)
    one_query = "N" not in axes
    parts = parts_of(result, least=1 if one_query else 2)
    if any(bare(part).dtype.kind == "c" for part in parts):
        raise TypeError("returned complex numbers")
    own_dtype = getattr(parts[0], "dtype", "float64")
    dtype = str(getattr(own_dtype, "name", own_dtype)).rpartition(".")[2]
    framework = type(parts[0]).__module__.partition(".")[0]
    arrays = [np.array(bare(part), dtype=np.float64) for part in parts[:2]]
    if weights_only:
        weights = _with_all_axes(arrays[0], axes)
        if weights.shape[-1] != m:
            raise TypeError(f"returned shape {arrays[0].shape}, which is that of no weights")
        return Response(mix_values(case, weights), weights, dtype, framework)
    sizes = [a.shape[-1:] if one_query else a.shape[-2:] for a in arrays]
    shape = (m,) if one_query else (n, m)
    if len(arrays) == 2 and sizes[0] == shape != sizes[1]:
        arrays.reverse()
        sizes.reverse()
    if merged and arrays[0].ndim == len(axes) - 1 and not arrays[0].shape[-1] % case["q"].shape[1]:
        arrays[0] = arrays[0].reshape(*arrays[0].shape[:-1], case["q"].shape[1], -1)
    if groups is not None and arrays[0].ndim > len(axes):
        shape_of_groups = arrays[0].shape
        arrays[0] = arrays[0].reshape(*shape_of_groups[:groups], -1, *shape_of_groups[groups + 2 :])
    output = restore_axes(arrays[0], axes, AXES[of_tokens])
    batch, heads, *_ = grid(case)
    folded = "B" in axes and heads > 1 and arrays[-1].shape[:-2] == (batch * heads,)  # in whatever order
    if len(arrays) == 1 or {*sizes[1]} != {*shape} or folded:  # it is something else, such as a cache
        return Response(output, None, dtype, framework)
    return Response(output, _with_all_axes(arrays[1], axes, grid(case)), dtype, framework)


def _with_all_axes(weights: Array, axes: str, shape: tuple[int, ...] = ()) -> Array:
    """Weights as (B, H, N, M), which may come with heads first."""
    if shape != weights.shape == (shape[1::-1] + shape[2:]):
        return weights.swapaxes(0, 1)
    if "N" not in axes:
        weights = weights[..., None, :]
    if "B" not in axes:
        weights = weights[None]
    return weights[:, None] if weights.ndim == 3 else weights


def has_shape(response: Response, case: Case) -> bool:
    """Whether an output has the shape that attention would return, with the tokens and features in any order."""
    if response.output is None:
        return False
    batch, heads, n, _ = grid(case)
    lead = (batch,) if "X" in case else (batch, heads)
    shape = response.output.shape
    return len(shape) == len(lead) + 2 and shape[: len(lead)] == lead and n in shape[len(lead) :]


def collected(result: Any) -> Any:
    """What was returned; of a generator, such as one of rows of the output, what it yields."""
    return list(islice(result, _MOST_YIELDED)) if isgenerator(result) else result


def parts_of(result: Any, least: int) -> list[Any]:
    """The arrays of what was returned, of so many axes at least: the output, and whatever else came with it."""
    if isinstance(result, Mapping):
        result = output_first(result, result.values())
        result = result[0] if len(result) == 1 else result
    elif is_dataclass(result):
        names = [field.name for field in fields(result)]
        result = output_first(names, [getattr(result, name) for name in names])
    elif hasattr(result, "_fields"):
        result = output_first(result._fields, result)
    if not isinstance(result, tuple):
        return [result]
    arrays = []
    for part in result:
        with contextlib.suppress(Exception):
            if not isinstance(part, tuple | dict | None) and _is_array(part):
                arrays += [part] if bare(part).ndim >= least else []
    return arrays or [result]


def _is_array(part: Any) -> bool:
    """Whether a part is an array of numbers, or lists of them, and no list of arrays, as a cache is."""
    first = part
    while isinstance(first, list) and first:
        first = first[0]
    return (first is part or isinstance(first, int | float | np.number)) and bare(part).dtype != object


def as_array(value: Any) -> Any:
    """A list of numbers, or of lists of them, as an array; any other value itself."""
    first = value
    while isinstance(first, list) and first:
        first = first[0]
    if first is value or not isinstance(first, int | float) or isinstance(first, bool):
        return value
    try:
        return np.array(value, dtype=np.float64 if isinstance(first, float) else None)
    except (ValueError, TypeError):  # of rows that are not as long as each other, or hold something else
        return value


def bare(value: Any) -> npt.NDArray[Any]:
    """A plain array of whatever was returned: no subclass, whose operators could return anything."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
