"""Numbers of the page as whole multiples of their last digit, and packed into bytes."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from headwise.shapes import Array, IntArray

MISSING = -1  # in whole numbers that are otherwise not negative
_BYTES_PER_WEIGHT = 0.4  # a packed weight takes more than this
# decimals, and the smallest weight that is stored, in units of the last of them: from exact to coarse
_COARSER = tuple((3, least) for least in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128))


class PackedWeights(NamedTuple):
    """The largest weights of each row of each view."""

    decimals: int  # of a weight
    least: int  # smaller weights than this, in units of the last decimal, are left out
    counts: IntArray  # (V, N): how many weights of each row are stored
    steps: IntArray  # (K,): how far each stored key is from the one before it in its row, the first from −1
    values: IntArray  # (K,): their weights in units of the last decimal


def pack_weights(matrices: Sequence[Array], decimals: int, budget: int) -> PackedWeights:
    """Round the weights, and leave out as few as a number of bytes requires, the smallest first.

    `matrices` (N, M): weights from 0 to 1.
    `decimals`: of a weight, if all weights that are not rounded to zero fit.
    `budget`: bytes of the compressed result.

    Examples
    --------
    >>> packed = pack_weights([np.array([[0.25, 0, 0.75], [0, 1, 0]])], 3, budget=1000)
    >>> packed.counts.tolist(), packed.steps.tolist(), packed.values.tolist()
    ([[2, 1]], [1, 2, 2], [250, 750, 1000])
    """
    stacked, rounded_to = _round(matrices, decimals), decimals
    for places, least in ((decimals, 1), *_COARSER):
        if places != rounded_to:
            stacked, rounded_to = _round(matrices, places), places
        is_stored = stacked >= least
        if is_stored.sum() * _BYTES_PER_WEIGHT > budget and (places, least) != _COARSER[-1]:
            continue
        _, _, columns = np.nonzero(is_stored)
        counts = is_stored.sum(axis=-1)
        starts = np.cumsum(counts)[:-1]
        steps = np.diff(columns, prepend=-1)
        starts = starts[starts < len(steps)]
        steps[starts] = columns[starts] + 1
        packed = PackedWeights(places, least, counts, steps, stacked[is_stored].astype(np.int64))
        size = sum(len(zlib.compress(_to_bytes(array)[0], 6)) for array in packed[2:])
        if size <= budget:
            break
    return packed


def _round(matrices: Sequence[Array], decimals: int) -> Any:
    """(V, N, M) of uint16"""
    return np.stack([np.rint(matrix * 10**decimals).astype(np.uint16) for matrix in matrices])


def to_fixed_point(values: Array, decimals: int) -> Any:
    """Whole multiples of the last decimal shown, as nested lists; None for NaN.

    Examples
    --------
    >>> to_fixed_point(np.array([[0.12345, 1.0], [np.nan, -0.00001]]), 3)
    [[123, 1000], [None, 0]]
    """
    rounded = np.rint(np.asarray(values, np.float64) * 10**decimals)
    defined = ~np.isnan(rounded)
    integers = np.where(defined, rounded, 0).astype(np.int64)
    return integers.tolist() if defined.all() else np.where(defined, integers, np.array(None)).tolist()


def to_units(values: Array, decimals: int) -> IntArray:
    """Values of at least 0 as whole multiples of the last decimal shown; `MISSING` for NaN.

    Examples
    --------
    >>> to_units(np.array([0.12345, np.nan]), 3)
    array([123,  -1])
    """
    rounded = np.rint(np.asarray(values, np.float64) * 10**decimals)
    return np.where(np.isnan(rounded), MISSING, np.nan_to_num(rounded)).astype(np.int64)


def to_json(content: Any) -> Any:
    """Content with its arrays as flat lists."""
    if isinstance(content, dict):
        return {key: to_json(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [to_json(value) for value in content]
    return content.ravel().tolist() if isinstance(content, np.ndarray) else content


def pack(content: Any) -> str:
    """Content as base64 of deflated bytes: the length of its JSON in four bytes, the JSON, and the arrays after it.

    In the JSON an array is ``{"array": [offset, length, width, minimum]}``: `length` numbers of `width` bytes each, all
    least significant bytes first, above a minimum.
    """
    parts: list[bytes] = []
    head = json.dumps(_replace_arrays(content, parts), ensure_ascii=False, separators=(",", ":")).encode()
    raw = len(head).to_bytes(4, "little") + head + b"".join(parts)
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def _replace_arrays(content: Any, parts: list[bytes]) -> Any:
    if isinstance(content, dict):
        return {key: _replace_arrays(value, parts) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_replace_arrays(value, parts) for value in content]
    if not isinstance(content, np.ndarray):
        return content
    data, width, minimum = _to_bytes(content)
    offset = sum(map(len, parts))
    parts.append(data)
    return {"array": [offset, content.size, width, minimum]}


def _to_bytes(array: IntArray) -> tuple[bytes, int, int]:
    """The bytes of an array, byte planes one after the other, with their number and the minimum."""
    minimum = int(array.min(initial=0))
    shifted = array.ravel() - minimum
    largest = int(shifted.max(initial=0))
    width = max(1, (largest.bit_length() + 7) // 8)
    planes = [((shifted >> (8 * plane)) & 255).astype(np.uint8).tobytes() for plane in range(width)]
    return b"".join(planes), width, minimum
