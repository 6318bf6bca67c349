"""Attention records from arrays of any framework, and the layout of their tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, ShapeError, require_extra
from headwise.explanation.text_arrays import causal_mask, names_in, text_record
from headwise.figures import AttentionRecord, load_arrays
from headwise.metrics import ROW_SUM_TOLERANCE, check_attention_weights, normalize_rows
from headwise.shapes import Array, BoolArray
from headwise.tokenizers.images import Patches

_OTHER_ARRAYS = ("image", "positions", "verified", "errors", "names", "kinds", "words", "tokens", "queries",
                 "q", "k", "v", "output", "lse", "scale")  # fmt: skip  # not attention weights
_WEIGHT_NAMES = ("weights", "attention", "attentions")  # identify the weights among other arrays
_PATCH = 16  # pixels of a patch to whose size an image is resized, if it is not known
_MAX_PIXELS = 10_000_000  # of a record without an image


@dataclass(frozen=True)
class TokenLayout:
    """Where the tokens of the arrays are in the image.

    Attributes
    ----------
    grid : (int, int), optional
        Rows and columns of tokens; required unless it follows from `patch` and an image.
    patch : (int, int), optional
        Height and width of a token in pixels; by default the image's size divided by the grid's, or 1 × 1.
    class_token : str
        ``"first"``, ``"last"``, ``"none"``, its index, or ``"auto"``: first if there is one token more than
        the grid has.
    dropped : bool
        Whether tokens were removed, so that rows sum to less than one.
    prefix : int, optional
        How many tokens (class, distillation, registers) precede those of the image, in place of `class_token`.
    index : int, optional
        Which item of a batch; the arrays have an axis more then: (B, L, H, N, M), or (B, H, N, M) for each layer.
    resize : bool
        Whether an image of another size is resized to that of the patches.
    words : tuple of str
        The tokens of a text, in place of a grid; by default the array ``words`` or ``tokens``.
    """

    grid: tuple[int, int] | None = None
    patch: tuple[int, int] | None = None
    class_token: str = "auto"
    dropped: bool = False
    prefix: int | None = None
    index: int | None = None
    resize: bool = False
    words: tuple[str, ...] = ()


def from_arrays(
    arrays: Mapping[str, npt.NDArray[Any]], layout: TokenLayout, image: Array | None = None
) -> AttentionRecord:
    """Build an attention record, which can be drawn and captioned.

    Parameters
    ----------
    arrays : mapping
        Attention weights as `stack_layers` takes them; optionally ``image`` (Y, X), ``positions`` (N, D), and
        ``verified``, as `headwise.capture` saves it.
    layout : TokenLayout
    image : ndarray of shape (Y, X), optional
        As the model sees it, from 0 to 1.

    Raises
    ------
    ShapeError
        If the arrays are not the attention of one image, or do not fit the grid.
    DataError
        If rows do not sum to one, or the grid is unknown.

    Examples
    --------
    Two layers of three heads over a class token and 2 × 2 patches:

    >>> import numpy as np
    >>> record = from_arrays({"attention": np.full((2, 3, 5, 5), 0.2)}, TokenLayout(grid=(2, 2), patch=(7, 7)))
    >>> record.has_class_token, record.maps.shape, record.image.shape
    (True, (2, 3, 4), (14, 14))
    """
    weights = stack_layers(arrays, layout.index)
    dropped_weight = 0.0
    if layout.dropped:
        weights, dropped_weight = _renormalize(weights)
    verified = bool(arrays.get("verified", np.zeros(1)).all())
    check_attention_weights(weights, verified=verified)
    shared: dict[str, Any] = {"dropped_weight": dropped_weight, "unverified": not verified}
    shared["visible"] = causal_mask(weights)
    words = layout.words or names_in(arrays, "words") or names_in(arrays, "tokens")
    if words or (layout.grid is None and weights.shape[2] != weights.shape[3]):
        return text_record(weights, words, names_in(arrays, "queries"), shared)
    image = to_pixels_of(arrays["image"]) if image is None and "image" in arrays else image
    rows, tokens = weights.shape[2:]
    grid = _grid(layout, image, tokens)
    prefix = _prefix(layout, tokens, grid)
    if prefix is None:
        class_index = _class_token_index(layout.class_token, tokens, grid)
        if class_index is not None:
            order = [class_index, *(n for n in range(tokens) if n != class_index)]
            weights = (weights[:, :, order] if rows == tokens else weights)[..., order]
        prefix = np.arange(tokens) < (class_index is not None)
    if layout.resize and image is not None:
        patch = layout.patch or (_PATCH, _PATCH)
        image = resize_image(image, (grid[0] * patch[0], grid[1] * patch[1]))
    size, patch = _image_and_patch_size(grid, layout.patch, image)
    return AttentionRecord(
        np.zeros(size, np.float32) if image is None else image.astype(np.float32),
        Patches(size, patch).boxes,
        weights,
        np.zeros(0, np.float32),
        positions=check_positions(arrays.get("positions", np.zeros((0, 0)))),
        prefix=prefix,
        query_words=() if rows == tokens else tuple(map(str, range(1, rows + 1))),
        **shared,
    )


def _prefix(layout: TokenLayout, tokens: int, grid: tuple[int, int]) -> BoolArray | None:
    """(T,): the prefix tokens, if their number was given."""
    if layout.prefix is None:
        return None
    cells = grid[0] * grid[1]
    if tokens != cells + layout.prefix:
        raise ShapeError(
            f"prefix: expected {cells + layout.prefix} tokens, because {grid[0]}x{grid[1]} is {cells} and "
            f"{layout.prefix} precede them; the arrays have {tokens}."
        )
    return np.asarray(np.arange(tokens) < layout.prefix)


def from_saved(arrays: Mapping[str, npt.NDArray[Any]]) -> AttentionRecord:
    """Build an attention record from the arrays of a file that `AttentionRecord.save` wrote, and check them.

    Raises
    ------
    ShapeError
        If they do not fit one another.
    DataError
        If they are not those of a record, or rows do not sum to one.
    """
    record = AttentionRecord.from_arrays(arrays)
    check_attention_weights(record.weights, verified=not record.unverified)
    return record


def stack_layers(arrays: Mapping[str, npt.NDArray[Any]], index: int | None = None) -> Array:
    """Attention weights as one array, (L, H, T, T), from an array with fewer axes or from one for each layer.

    Parameters
    ----------
    arrays : mapping
        One array of shape (L, H, T, T), (H, T, T), (T, T), (1, L, H, T, T) or (L, 1, H, T, T); or one for each layer,
        (H, T, T), (1, H, T, T) or (T, T), in the order of the numbers in their names. For cross-attention the last two
        axes differ.
    index : int, optional
        Which item of a batch, if the arrays have an axis for it in front.

    Raises
    ------
    ShapeError
        If the number of axes is another, there are several images, or layers differ in shape.
    DataError
        If the numbers are not floats.
    """
    candidates = {name: array for name, array in arrays.items() if name not in _OTHER_ARRAYS}
    if named := [name for name in _WEIGHT_NAMES if name in candidates]:
        candidates = {named[0]: candidates[named[0]]}
    if not candidates:
        raise DataError("weights: expected an array of attention weights; the file has none.")
    for name, array in candidates.items():
        if array.dtype.kind != "f":
            raise DataError(f"{name}: expected floating-point weights; got {array.dtype}.")
        if array.ndim < 2:
            raise ShapeError(f"{name}: expected attention weights (..., queries, keys); got {array.shape}.")
        if not array.size:
            raise ShapeError(f"{name}: expected at least one layer, head and token; got {array.shape}.")
    if index is not None:
        candidates = {name: _item(name, array, index) for name, array in candidates.items()}
    if len(candidates) == 1:
        ((name, array),) = candidates.items()
        return _to_four_axes(name, array)
    names = sorted(candidates, key=_numbers_in_name)
    layers = [_to_four_axes(name, candidates[name]) for name in names]
    if len({layer.shape for layer in layers}) > 1 or len(layers[0]) > 1:
        shapes = _describe_shapes({name: candidates[name].shape for name in names})
        hint = ' Capture those of one shape, with layers= or --layers: "encoder.*", or places.'
        hint = hint if "kinds" in arrays else ""
        raise ShapeError(
            f"weights: expected one array, or one for each layer, all of the same shape; got {shapes}.{hint}"
        )
    return np.concatenate(layers)


def _describe_shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Each shape once, with the first array that has it and how many more there are."""
    same = {shape: [name for name in shapes if shapes[name] == shape] for shape in shapes.values()}
    others = {shape: f" and {len(names) - 1} more" if len(names) > 1 else "" for shape, names in same.items()}
    return ", ".join(f"{names[0]}{others[shape]} {shape}" for shape, names in same.items())


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an .npz or .npy file by name.

    Raises
    ------
    DataError
        If there is no such file, or it contains no arrays.
    """
    return load_arrays(path, alone="weights")


def _item(name: str, array: Array, index: int) -> Array:
    """One item of a batch."""
    if not -len(array) <= index < len(array):
        raise ShapeError(f"index: expected 0 to {len(array) - 1}, because {name} has {len(array)} items; got {index}.")
    return np.asarray(array[index])


def _to_four_axes(name: str, array: Array) -> Array:
    """(L, H, T, T)"""
    if array.ndim == 5 and 1 in array.shape[:2]:
        array = array[0] if array.shape[0] == 1 else array[:, 0]
    if not 2 <= array.ndim <= 4:
        raise ShapeError(
            f"{name}: expected (layers, heads, T, T) of one image, or fewer axes; got {array.shape}. Several images? "
            "Choose one with --index."
        )
    layers: Array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    return layers


def _numbers_in_name(name: str) -> tuple[list[int], str]:
    """Sort key of layers: layer2 comes before layer10."""
    return [int(number) for number in re.findall(r"\d+", name)], name


def _renormalize(weights: Array) -> tuple[Array, float]:
    """Rows normalised to sum to one, and the mean weight of what had been removed."""
    removed = 1 - weights.sum(axis=-1, dtype=np.float64)
    if not removed.min() >= -ROW_SUM_TOLERANCE or weights.min() < 0:
        check_attention_weights(weights)  # removing tokens does not explain this; report what does
    if empty := int((removed == 1).sum()):
        raise DataError(
            f"weights: expected some weight in every row; {empty} rows are all 0. Padding, queries that may attend to "
            "nothing, or all weight on the removed tokens? Remove these rows."
        )
    return normalize_rows(weights), float(removed.mean())


def _grid(layout: TokenLayout, image: Array | None, tokens: int) -> tuple[int, int]:
    if layout.grid is not None:
        return layout.grid
    if layout.patch is not None and image is not None:
        rows, columns = (side // part for side, part in zip(image.shape[:2], layout.patch, strict=True))
        return rows, columns
    counts = {"with": tokens - 1, "without": tokens}
    options = [f"{word} a class token {count} ({_factors(count)})" for word, count in counts.items() if count > 0]
    raise DataError(
        f"grid: expected the rows and columns of tokens; the arrays have {tokens}: {', or '.join(options)}. Pass one, "
        "such as --grid 4x4, or the size of the patches and the image; for a text, its words, as --tokens words.txt."
    )


def _factors(count: int) -> str:
    """The grids with this number of tokens, squarest first."""
    pairs = [(n, count // n) for n in range(1, count + 1) if count % n == 0]
    return ", ".join(f"{a}x{b}" for a, b in sorted(pairs, key=lambda pair: abs(pair[0] - pair[1]))[:4])


def _class_token_index(name: str, tokens: int, grid: tuple[int, int]) -> int | None:
    """The index of the class token, if there is one."""
    cells = grid[0] * grid[1]
    positions = {"auto": 0 if tokens == cells + 1 else None, "first": 0, "last": tokens - 1, "none": None}
    if name not in positions and not name.isdecimal():
        raise DataError(f"class token: expected auto, first, last, none or its index; got {name!r}.")
    index = positions[name] if name in positions else int(name)
    expected = cells + (index is not None)
    if index is not None and index >= tokens:
        raise DataError(f"class token: expected an index below {tokens}; got {index}.")
    if tokens != expected:
        allowed = f"{cells}, or {cells + 1} with a class token" if name == "auto" else f"{expected}"
        cause = "Registers? Pass --prefix." if tokens > expected else "Another grid?"
        raise ShapeError(
            f"grid: expected {allowed}, because {grid[0]}x{grid[1]} is {cells} tokens; "
            f"the arrays have {tokens}. {cause}"
        )
    return index


def _image_and_patch_size(
    grid: tuple[int, int], patch: tuple[int, int] | None, image: Array | None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The image's size and the patches', in pixels."""
    if image is None:
        patch = patch or (1, 1)
        if (pixels := math.prod(grid) * math.prod(patch)) > _MAX_PIXELS:
            raise DataError(
                f"patch: expected an image of at most {_MAX_PIXELS:,} pixels; {grid[0]}x{grid[1]} patches of "
                f"{patch[0]} × {patch[1]} have {pixels:,}."
            )
        return (grid[0] * patch[0], grid[1] * patch[1]), patch
    height, width = image.shape[:2]
    patch = patch or (height // grid[0], width // grid[1])
    if (grid[0] * patch[0], grid[1] * patch[1]) != (height, width):
        raise ShapeError(
            f"image: expected {grid[0] * patch[0]} × {grid[1] * patch[1]} pixels, because {grid[0]}x{grid[1]} patches "
            f"have {patch[0]} × {patch[1]}; got {height} × {width}. Pass it as the model sees it, or --resize."
        )
    return (height, width), patch


def to_pixels_of(image: npt.NDArray[Any]) -> Array:
    """(Y, X) or (Y, X, 3) from 0 to 1, also from 8-bit or 16-bit integers, and with the colours in the first axis."""
    if image.dtype.kind not in "bfiu" or not image.size:
        raise DataError(f"image: expected (Y, X) pixels from 0 to 1; got {image.shape} of {image.dtype}.")
    white = 1 if image.dtype.kind in "bf" else 65535 if image.dtype == np.uint16 else 255
    pixels = image.astype(np.float32) / np.float32(white)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) and pixels.shape[-1] not in (3, 4):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3:
        is_grey = (pixels[..., :3] == pixels[..., :1]).all()
        pixels = pixels[..., 0] if is_grey else pixels[..., :3]
    if pixels.ndim not in (2, 3) or not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        received = f"{image.shape} from {pixels.min():.3g} to {pixels.max():.3g}"
        raise DataError(f"image: expected (Y, X) pixels from 0 to 1; got {received}.")
    return np.asarray(pixels)


def check_positions(positions: npt.NDArray[Any]) -> Array:
    """(N, D) in float32, all finite, so that every cosine is defined."""
    if positions.dtype.kind != "f":
        raise DataError(f"positions: expected floating-point numbers; got {positions.dtype}.")
    with np.errstate(over="ignore"):
        converted = positions.astype(np.float32)
    if bad := int((~np.isfinite(converted)).sum()):
        raise DataError(f"positions: expected numbers; {bad} of them are NaN, infinite or too large.")
    return converted


def resize_image(image: Array, size: tuple[int, int]) -> Array:
    """The image at another height and width, by bicubic interpolation."""
    if image.shape[:2] == size:
        return image
    with require_extra("resizing images", "pillow", "lab"):
        from PIL import Image
    pixels = Image.fromarray((image * 255).round().astype(np.uint8)).resize((size[1], size[0]), 3)
    return np.asarray(pixels, np.float32) / 255
