"""Which keys each query may attend to, stored in O(N) where the rule allows it and never as N × M numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headwise.attention.masks import Align, Window, build_mask
from headwise.shapes import BoolArray, IntArray

_BLOCK = 2**22  # entries of a mask that are examined at once


@dataclass(frozen=True, eq=False)
class KeyMask:
    """The keys that each query may attend to: one interval per query, or one bit per pair.

    Causal masks, windows, padding on either side and their combinations leave every query one interval of keys.
    Anything else takes one bit for each pair.

    Attributes
    ----------
    first, last : ndarray of int of shape (B or 1, H or 1, N)
        The interval of each query: its first key, and one past its last.
    keys : int
        M, the number of keys.
    bits : ndarray of uint8 of shape (B or 1, H or 1, N, ⌈M/8⌉), optional
        One bit per pair, as `numpy.packbits` writes them, where intervals do not suffice.

    Examples
    --------
    >>> KeyMask.from_rule((1, 1, 2, 3), causal=True, align="end").rows(np.arange(2))[0, 0]
    array([[ True,  True, False],
           [ True,  True,  True]])
    """

    first: IntArray
    last: IntArray
    keys: int
    bits: npt.NDArray[np.uint8] | None = None

    @classmethod
    def from_array(cls, visible: BoolArray) -> KeyMask | None:
        """From a boolean array (B or 1, H or 1, N, M) in which True attends; None if everything is visible."""
        b, h, n, m = visible.shape
        first, last = np.zeros((b, h, n), np.int64), np.zeros((b, h, n), np.int64)
        rows, one_interval = max(1, _BLOCK // max(1, b * h * m)), True
        for start in range(0, n, rows):
            part = visible[:, :, start : start + rows]
            some = part.any(axis=-1)
            begin = np.where(some, part.argmax(axis=-1), 0) if m else np.zeros(some.shape, np.int64)
            end = np.where(some, m - part[..., ::-1].argmax(axis=-1), 0) if m else begin
            one_interval &= bool((part.sum(axis=-1) == end - begin).all())
            first[:, :, start : start + rows], last[:, :, start : start + rows] = begin, end
        if one_interval and not first.any() and (last == m).all():
            return None
        return cls(first, last, m, None if one_interval else np.packbits(visible, axis=-1))

    @classmethod
    def from_rule(
        cls,
        shape: tuple[int, int, int, int],
        *,
        causal: bool = False,
        window: Window = None,
        align: Align = None,
        lengths: npt.ArrayLike | None = None,
    ) -> KeyMask | None:
        """From the arguments of `headwise.attention` for logits of shape (B, H, N, M); None if all is visible."""
        rule = build_mask(shape, causal=causal, window=window, align=align, lengths=lengths)
        if rule.lengths is None and rule.left is None and rule.right is None:
            return None
        spans = [[rule.key_range((item,), query) for query in range(shape[2])] for item in range(shape[0])]
        first, last = np.moveaxis(np.reshape(spans, (shape[0], 1, shape[2], 2)), -1, 0)
        return cls(first, np.maximum(first, last), shape[3])

    def rows(self, chosen: IntArray) -> BoolArray:
        """Visibility (B or 1, H or 1, rows, M) of the chosen queries."""
        if self.bits is not None:
            return np.unpackbits(self.bits[:, :, chosen], axis=-1, count=self.keys).astype(bool)
        m = np.arange(self.keys)
        return (m >= self.first[:, :, chosen, None]) & (m < self.last[:, :, chosen, None])

    def __and__(self, other: KeyMask) -> KeyMask:
        """Keys that both allow."""
        if self.bits is None and other.bits is None:
            first = np.maximum(self.first, other.first)
            return KeyMask(first, np.maximum(first, np.minimum(self.last, other.last)), self.keys)
        everyone = np.arange(self.first.shape[-1])
        both = self.rows(everyone) & other.rows(everyone)
        return KeyMask.from_array(both) or self

    @property
    def causal(self) -> bool:
        """Whether no query attends to a key after its own, counted from the first or from the last key."""
        n, m = self.first.shape[-1], self.keys
        aligned = np.arange(n) + 1
        last = np.where(self.last > self.first, self.last, 0)
        return bool((last <= aligned).all() or (last <= aligned + m - n).all())


def intersect(first: KeyMask | None, second: KeyMask | None) -> KeyMask | None:
    """The keys that both masks allow; None allows all."""
    return second if first is None else first if second is None else first & second
