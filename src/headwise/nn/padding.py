"""Series of unequal lengths in one padded array: removing the padding, and restoring it.

Letters: B items, N steps of the longest, R valid steps of all items together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from headwise.shapes import IntArray

_Kind = TypeVar("_Kind", bound=np.generic)


@dataclass(frozen=True)
class Padding:
    """Item i has ``lengths[i]`` valid steps, and after them padding up to `steps`.

    `unpad` and `pad` are adjoint: each is the backward pass of the other.

    Examples
    --------
    >>> import numpy as np
    >>> padding = Padding(np.array([1, 3]), 3)
    >>> rows = padding.unpad(np.arange(1.0, 7).reshape(2, 3, 1))
    >>> rows.ravel(), padding.positions
    (array([1., 4., 5., 6.]), array([0, 0, 1, 2]))
    >>> padding.pad(rows)[:, :, 0]
    array([[1., 0., 0.],
           [4., 5., 6.]])
    """

    lengths: IntArray
    steps: int

    @cached_property
    def valid_indices(self) -> IntArray:
        """Flat indices (R,) of the valid steps."""
        return np.flatnonzero(np.arange(self.steps) < self.lengths[:, None])

    @property
    def positions(self) -> IntArray:
        """Position (R,) of each valid step in its series, from 0."""
        return self.valid_indices % self.steps

    def unpad(self, x: npt.NDArray[_Kind]) -> npt.NDArray[_Kind]:
        """(B, N, ...) -> (R, ...): the valid steps."""
        rows: npt.NDArray[_Kind] = x.reshape(-1, *x.shape[2:])[self.valid_indices]
        return rows

    def pad(self, rows: npt.NDArray[_Kind]) -> npt.NDArray[_Kind]:
        """(R, ...) -> (B, N, ...), with zeros in the padding."""
        x = np.zeros((len(self.lengths) * self.steps, *rows.shape[1:]), rows.dtype)
        x[self.valid_indices] = rows
        return x.reshape(-1, self.steps, *rows.shape[1:])
