"""Which keys a query may attend to: mask, lengths, causal and window, with the alignment they are measured by.

`AttentionMask` can be evaluated for any tile of queries and keys, so that an engine never needs the N × M array.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from headwise.errors import MaskError
from headwise.shapes import Array, BoolArray, IntArray, as_array

Align = Literal["start", "end"] | None
Window = tuple[int | None, int | None] | None


@dataclass(slots=True, eq=False)
class AttentionMask:
    """Which keys each query may attend to.

    Query n is aligned with key ``n + offset`` and sees the keys from ``left`` before to ``right`` after that one.
    """

    shape: tuple[int, ...]  # (..., H, N, M), the logits' shape
    array: BoolArray | None  # the mask argument; each axis has its full size or 1. True attends.
    lengths: IntArray | None  # (...,): how many keys of each item are valid
    offset: IntArray  # (...,): the key that query 0 is aligned with
    # None is unbounded
    left: int | None
    right: int | None

    def tile(self, item: tuple[int, ...], heads: slice, rows: slice, columns: slice) -> BoolArray | None:
        """Allowed pairs in one tile of some heads, broadcastable to (heads, rows, columns); None if all are allowed."""
        allowed: BoolArray | None = None
        (_, end), (first, _) = (self.key_range(item, query) for query in (rows.start, rows.stop - 1))
        if columns.start < first or columns.stop > end:
            allowed = self._window(rows.start + int(self.offset[item]), rows.stop - rows.start, columns)[None]
            if self.lengths is not None and columns.stop > self.lengths[item]:
                allowed = allowed & (np.arange(columns.start, columns.stop) < self.lengths[item])
        if self.array is not None:
            masked = mask_tile(self.array, item, heads, rows, columns)
            if not masked.all():
                allowed = masked if allowed is None else allowed & masked
        return allowed

    def _window(self, aligned: int, rows: int, columns: slice) -> BoolArray:
        """Keys within the window of so many queries, of which the first is aligned with a key: a read-only view.

        Each row is the one before, shifted by one, so that the tile is written once for all its diagonals.
        """
        distance = np.arange(columns.start - rows + 1, columns.stop) - aligned
        visible = np.ones(distance.shape, np.bool_)
        if self.left is not None:
            visible &= distance >= -self.left
        if self.right is not None:
            visible &= distance <= self.right
        return sliding_window_view(visible, columns.stop - columns.start)[::-1]

    def key_range(self, item: tuple[int, ...], query: int) -> tuple[int, int]:
        """First visible key of a query, and one past the last, apart from the mask array; both grow with the query."""
        end = self.shape[-1] if self.lengths is None else int(self.lengths[item])
        aligned = query + int(self.offset[item])
        first = 0 if self.left is None else max(aligned - self.left, 0)
        return first, end if self.right is None else min(aligned + self.right + 1, end)

    def full(self) -> BoolArray | None:
        """All allowed pairs, broadcastable to (..., H, N, M); None if every pair is allowed."""
        allowed: BoolArray | None = self.array
        n, m = np.arange(self.shape[-2])[:, None], np.arange(self.shape[-1])
        aligned = n + self.offset[..., None, None, None]
        rules = []
        if self.lengths is not None:
            rules.append(m < self.lengths[..., None, None, None])
        if self.left is not None:
            rules.append(m >= aligned - self.left)
        if self.right is not None:
            rules.append(m <= aligned + self.right)
        for rule in rules:
            allowed = rule if allowed is None else allowed & rule
        return allowed


def build_mask(
    shape: tuple[int, ...],
    *,
    mask: npt.ArrayLike | None = None,
    causal: bool = False,
    window: Window = None,
    align: Align = None,
    lengths: npt.ArrayLike | None = None,
) -> AttentionMask:
    """Check the arguments that hide keys, and combine them by AND.

    `shape`: (..., H, N, M).
    `mask`: broadcastable to (..., H, N, M); True attends.
    `causal`: query n sees keys up to the one it is aligned with.
    `window`: how many keys before and after its aligned key a query may see.
    `align`: lines up the first query with the first key, or the last query with the last valid key.
    `lengths` (...,): valid keys of each item.
    Raises MaskError if an argument is malformed, or `align` is missing where N ≠ M and it matters.

    Examples
    --------
    >>> build_mask((1, 2, 4), causal=True, align="end").full()
    array([[[ True,  True,  True, False],
            [ True,  True,  True,  True]]])
    """
    if mask is None and window is None and align is None and lengths is None and causal is False:
        return _without_rules(shape)
    lead, (n, m) = shape[:-3], shape[-2:]
    left, right = _window(window, n + m)
    if not isinstance(causal, bool | np.bool_):
        raise MaskError(f"causal: expected True or False; got {type(causal).__name__}. An array belongs in mask.")
    if causal:
        right = 0
    valid = _lengths(lengths, lead, m)
    if not (align is None or (isinstance(align, str) and align in ("start", "end"))):
        raise MaskError(f'align: expected "start" or "end"; got {align!r}.')
    if align is None and n != m and (left is not None or right is not None):
        raise MaskError(
            f"align: {'causal' if causal else 'window'} with {n} queries and {m} keys needs it: "
            'align="start" lines up the first query with the first key, '
            'align="end" the last query with the last (valid) key.'
        )
    offset = np.zeros(lead, np.intp) if align != "end" else np.broadcast_to(m if valid is None else valid, lead) - n
    return AttentionMask(
        shape, _mask(mask, shape), valid, np.ascontiguousarray(offset, np.intp).reshape(lead), left, right
    )


@lru_cache(maxsize=64)
def _without_rules(shape: tuple[int, ...]) -> AttentionMask:
    return AttentionMask(shape, None, None, np.zeros(shape[:-3], np.intp), None, None)


def _window(window: Window, widest: int) -> tuple[int | None, int | None]:
    """Both sides of the window as integers no larger than `widest`, beyond which they hide nothing."""
    if window is None:
        return None, None
    if not isinstance(window, tuple | list | np.ndarray) or len(window) != 2:
        raise MaskError(f"window: expected a pair (left, right); got {window!r}.")
    left, right = window
    for side in (left, right):
        if side is not None and (isinstance(side, bool) or not isinstance(side, int | np.integer) or side < 0):
            raise MaskError(f"window: expected whole numbers from 0, or None for unbounded; got {window!r}.")
    left, right = (None if side is None else min(int(side), widest) for side in (left, right))
    return left, right


def _lengths(lengths: npt.ArrayLike | None, lead: tuple[int, ...], m: int) -> IntArray | None:
    if lengths is None:
        return None
    counts = as_array("lengths", lengths)
    if counts.dtype.kind not in "iu":
        raise MaskError(f"lengths: expected whole numbers; got {counts.dtype}.")
    if counts.shape not in ((), lead):
        raise MaskError(f"lengths: expected one number an item, shape {lead}; got {counts.shape}.")
    if counts.size and (counts.min() < 0 or counts.max() > m):
        raise MaskError(f"lengths: expected 0 to M={m} valid keys; got {counts.min()} to {counts.max()}.")
    return np.broadcast_to(counts, lead).astype(np.int64)


def _mask(mask: npt.ArrayLike | None, shape: tuple[int, ...]) -> BoolArray | None:
    if mask is None:
        return None
    array = as_array("mask", mask)
    if array.dtype != np.bool_:
        zero_one = array.dtype.kind in "iuf" and bool(np.isin(array, (0, 1)).all())
        hint = (
            " It holds only 0 and 1: write mask.astype(bool), where 1 attends."
            if zero_one
            else " Numbers to add to the logits go in bias."
        )
        raise MaskError(f"mask: expected booleans, True attends; got {array.dtype}.{hint}")
    if not is_broadcastable(array.shape, shape):
        hint = " For one row of keys an item, write mask[:, None, None, :]." if array.ndim == 2 else ""
        raise MaskError(f"mask: expected a shape that broadcasts to (..., H, N, M) = {shape}; got {array.shape}.{hint}")
    return array.reshape((1,) * (len(shape) - array.ndim) + array.shape)


def hide(s: Array, allowed: BoolArray) -> None:
    """Set the logits that are not allowed to −inf, in place.

    A minimum is computed for many numbers at once; a masked copy takes ten times as long for a mask without a pattern.
    """
    limit = allowed.astype(s.dtype)
    limit -= 0.5
    limit *= np.inf  # +inf where allowed, −inf where hidden
    np.fmin(s, limit, out=s)  # a hidden NaN is no longer one


def is_broadcastable(source: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of shape `source` broadcasts to `target`."""
    return len(source) <= len(target) and all(
        size in (1, full) for size, full in zip(reversed(source), reversed(target), strict=False)
    )


def mask_tile(
    array: npt.NDArray[Any], item: tuple[int, ...], heads: slice, rows: slice, columns: slice
) -> npt.NDArray[Any]:
    """View (heads, rows, columns) of one item of a mask or bias; axes of size 1 stay so."""
    own: npt.NDArray[Any] = array[tuple(i if size > 1 else 0 for i, size in zip(item, array.shape, strict=False))]
    parts = zip((heads, rows, columns), own.shape, strict=True)
    return own[tuple(part if size > 1 else slice(None) for part, size in parts)]
