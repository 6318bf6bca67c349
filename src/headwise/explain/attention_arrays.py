"""Attention arrays from any framework, made ready to be drawn and captioned: and where their tokens lie."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.data.array_files import load_npz
from headwise.errors import DataError, ShapeError
from headwise.explain.image_arrays import finite_positions, grey
from headwise.explain.row_sums import ROW_SUM_TOLERANCE, check_attention_weights
from headwise.figures.record import AttentionRecord
from headwise.metrics.concentration import normalize_rows
from headwise.shapes import Array
from headwise.tokenizers.images import Patches

__all__ = ["TokenLayout", "from_arrays", "from_saved", "read_arrays", "stack_layers"]

_BESIDE = ("image", "positions")  # arrays that are no attention weights
_NAMES = ("weights", "attention", "attentions")  # what the one array among others may be called
_PIXELS = 10_000_000  # of a picture whose image did not come


@dataclass(frozen=True)
class TokenLayout:
    """Where the tokens of the arrays lie.

    Attributes
    ----------
    grid : (int, int), optional
        Rows and columns of tokens; needed unless `patch` and an image say it.
    patch : (int, int), optional
        Height and width of a token in pixels; without it the image's over the grid's, or 1 × 1.
    class_token : str
        ``"first"``, ``"last"``, ``"none"``, its index, or ``"auto"``: first if the grid has one token less.
    dropped : bool
        Whether tokens were cut off, so that rows sum to less than one.
    """

    grid: tuple[int, int] | None = None
    patch: tuple[int, int] | None = None
    class_token: str = "auto"
    dropped: bool = False


def from_arrays(
    arrays: Mapping[str, npt.NDArray[Any]], layout: TokenLayout, image: Array | None = None
) -> AttentionRecord:
    """Attention arrays as what can be drawn.

    Parameters
    ----------
    arrays : mapping
        Attention weights as `stack_layers` takes them; optionally ``image`` (Y, X) and ``positions`` (N, D).
    layout : Layout
    image : ndarray of shape (Y, X), optional
        As the model saw it, from 0 to 1.

    Returns
    -------
    Drawn

    Raises
    ------
    ShapeError
        If the arrays are no attention of one image, or do not fit the grid.
    DataError
        If rows do not sum to one, or the grid is not known.

    Examples
    --------
    Two layers of three heads over a class token and 2 × 2 patches:

    >>> import numpy as np
    >>> drawn = from_arrays({"attention": np.full((2, 3, 5, 5), 0.2)}, TokenLayout(grid=(2, 2), patch=(7, 7)))
    >>> drawn.classed, drawn.maps.shape, drawn.image.shape
    (True, (2, 3, 4), (14, 14))
    """
    weights = stack_layers(arrays)
    image = grey(arrays["image"]) if image is None and "image" in arrays else image
    tokens = weights.shape[-1]
    grid = _grid(layout, image, tokens)
    at = _class_at(layout.class_token, tokens, grid)
    cut_off = 0.0
    if layout.dropped:
        weights, cut_off = _made_whole(weights)
    check_attention_weights(weights)
    if at is not None:
        order = [at, *(n for n in range(tokens) if n != at)]
        weights = weights[:, :, order][..., order]
    size, patch = _sizes(grid, layout.patch, image)
    return AttentionRecord(
        np.zeros(size, np.float32) if image is None else image.astype(np.float32),
        Patches(size, patch).boxes,
        weights,
        np.zeros(0, np.float32),
        positions=finite_positions(arrays.get("positions", np.zeros((0, 0)))),
        cut_off=cut_off,
    )


def from_saved(arrays: Mapping[str, npt.NDArray[Any]]) -> AttentionRecord:
    """The arrays of a picture's own file, which may have been changed since.

    Raises
    ------
    ShapeError
        If they do not fit one another.
    DataError
        If they are not what a picture holds, or rows do not sum to one.
    """
    drawn = AttentionRecord.of(arrays)
    check_attention_weights(drawn.weights)
    return drawn


def stack_layers(arrays: Mapping[str, npt.NDArray[Any]]) -> Array:
    """One array of attention weights, (L, H, T, T), from one of fewer axes or from one for each layer.

    Parameters
    ----------
    arrays : mapping
        One array of shape (L, H, T, T), (H, T, T), (T, T), (1, L, H, T, T) or (L, 1, H, T, T); or one for each layer,
        (H, T, T), (1, H, T, T) or (T, T), in the order of the numbers in their names.

    Raises
    ------
    ShapeError
        If there is another number of axes, several images, or layers that differ.
    DataError
        If the numbers are no floats.
    """
    found = {name: array for name, array in arrays.items() if name not in _BESIDE}
    if named := [name for name in _NAMES if name in found]:
        found = {named[0]: found[named[0]]}
    if not found:
        raise DataError("weights: expected an array of attention weights; the file holds none.")
    for name, array in found.items():
        if array.dtype.kind != "f":
            raise DataError(f"{name}: expected floating-point weights; got {array.dtype}.")
        if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
            raise ShapeError(
                f"{name}: expected attention weights whose last two axes are the same tokens, (..., T, T); got "
                f"{array.shape}."
            )
        if not array.size:
            raise ShapeError(f"{name}: expected a layer, a head and a token at least; got {array.shape}.")
    if len(found) == 1:
        ((name, array),) = found.items()
        return _layers(name, array)
    layers = [_layers(name, found[name]) for name in sorted(found, key=_numbers)]
    if len({layer.shape for layer in layers}) > 1 or len(layers[0]) > 1:
        shapes = ", ".join(f"{name} {found[name].shape}" for name in sorted(found, key=_numbers))
        raise ShapeError(f"weights: expected one array, or one for each layer and all of one shape; got {shapes}.")
    return np.concatenate(layers)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz or .npy file by name.

    Raises
    ------
    DataError
        If there is no such file, or it holds no arrays.
    """
    return load_npz(path, alone="weights")


def _layers(name: str, array: Array) -> Array:
    """(L, H, T, T)"""
    if array.ndim == 5 and 1 in array.shape[:2]:
        array = array[0] if array.shape[0] == 1 else array[:, 0]
    if not 2 <= array.ndim <= 4:
        raise ShapeError(
            f"{name}: expected (layers, heads, T, T) of one image, or fewer axes; got {array.shape}. Several images? "
            "Give one."
        )
    layers: Array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    return layers


def _numbers(name: str) -> tuple[list[int], str]:
    """What layers are in order of: layer2 before layer10."""
    return [int(number) for number in re.findall(r"\d+", name)], name


def _made_whole(weights: Array) -> tuple[Array, float]:
    """Rows made to sum to one, and the mean weight that they had lost."""
    lost = 1 - weights.sum(axis=-1, dtype=np.float64)
    if not lost.min() >= -ROW_SUM_TOLERANCE or weights.min() < 0:
        check_attention_weights(weights)  # not what cutting off leaves: says what else
    if empty := int((lost == 1).sum()):
        raise DataError(
            f"weights: expected something left in every row; {empty} rows are all 0. Padding, queries that may attend "
            "to nothing, or all on what was cut off? Leave them out."
        )
    return normalize_rows(weights), float(lost.mean())


def _grid(layout: TokenLayout, image: Array | None, tokens: int) -> tuple[int, int]:
    if layout.grid is not None:
        return layout.grid
    if layout.patch is not None and image is not None:
        down, across = (side // part for side, part in zip(image.shape, layout.patch, strict=True))
        return down, across
    ways = [
        f"{'with' if extra else 'without'} a class token {tokens - extra} ({_factors(tokens - extra)})"
        for extra in (1, 0)
        if tokens > extra
    ]
    raise DataError(
        f"grid: expected the rows and columns of tokens; the arrays have {tokens}: {', or '.join(ways)}. Name one, "
        "such as --grid 4x4; or the patches' size and the image."
    )


def _factors(count: int) -> str:
    """The grids of so many tokens, the squarest first."""
    pairs = [(n, count // n) for n in range(1, count + 1) if count % n == 0]
    return ", ".join(f"{a}x{b}" for a, b in sorted(pairs, key=lambda pair: abs(pair[0] - pair[1]))[:4])


def _class_at(said: str, tokens: int, grid: tuple[int, int]) -> int | None:
    """Where the class token is, if there is one."""
    cells = grid[0] * grid[1]
    known = {"auto": 0 if tokens == cells + 1 else None, "first": 0, "last": tokens - 1, "none": None}
    if said not in known and not said.isdecimal():
        raise DataError(f"class token: expected auto, first, last, none or its index; got {said!r}.")
    at = known[said] if said in known else int(said)
    expected = cells + (at is not None)
    if at is not None and at >= tokens:
        raise DataError(f"class token: expected an index below {tokens}, the tokens of the arrays; got {at}.")
    if tokens != expected:
        either = f"{cells}, or {cells + 1} with a class token" if said == "auto" else f"{expected}"
        cause = "Registers, or a second class token? Cut them off." if tokens > expected else "Another grid?"
        raise ShapeError(
            f"grid: expected {either}, because {grid[0]}x{grid[1]} is {cells} tokens; the arrays have {tokens}. {cause}"
        )
    return at


def _sizes(
    grid: tuple[int, int], patch: tuple[int, int] | None, image: Array | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The image's size and the patches', in pixels."""
    if image is None:
        patch = patch or (1, 1)
        if (pixels := math.prod(grid) * math.prod(patch)) > _PIXELS:
            raise DataError(
                f"patch: expected an image of at most {_PIXELS:,} pixels; {grid[0]}x{grid[1]} patches of {patch[0]} × "
                f"{patch[1]} have {pixels:,}."
            )
        return (grid[0] * patch[0], grid[1] * patch[1]), patch
    height, width = image.shape
    patch = patch or (height // grid[0], width // grid[1])
    if (grid[0] * patch[0], grid[1] * patch[1]) != (height, width):
        raise ShapeError(
            f"image: expected {grid[0] * patch[0]} × {grid[1] * patch[1]} pixels, because {grid[0]}x{grid[1]} patches "
            f"have {patch[0]} × {patch[1]}; got {height} × {width}. Give it as the model saw it, resized and cropped."
        )
    return (height, width), patch
