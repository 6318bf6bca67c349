"""Series as tokens, one per time step: padding and standardization.

Letters: B series, N steps of the longest, V variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, BoolArray, IntArray, bind
from headwise.tokenizers.tabular import column_std


def pad_series(series: Sequence[Array]) -> tuple[Array, IntArray]:
    """Stack series of unequal lengths into one array, padded with zeros.

    Parameters
    ----------
    series : sequence of ndarray of shape (n, V)

    Returns
    -------
    x : ndarray of float32 of shape (B, N, V)
    lengths : ndarray of int of shape (B,)

    Raises
    ------
    DataError
        If there is no series, or one is empty.
    ShapeError
        If one has another number of variables than the first.

    Examples
    --------
    >>> import numpy as np
    >>> x, lengths = pad_series([np.ones((1, 2)), np.ones((3, 2))])
    >>> x.shape, lengths
    ((2, 3, 2), array([1, 3]))
    """
    if not series:
        raise DataError("series: expected at least one; got none.")
    variables = series[0].shape[-1]
    for i, item in enumerate(series):
        if item.ndim != 2 or item.shape[1] != variables:
            raise ShapeError(
                f"series {i}: expected (steps, V={variables}), as series 0; got {item.shape}. "
                "All series must have the same variables."
            )
        if not len(item):
            raise DataError(f"series {i}: expected at least one step; it is empty.")
    lengths = np.array([len(item) for item in series])
    x = np.zeros((len(series), lengths.max(), variables), np.float32)
    for i, item in enumerate(series):
        x[i, : len(item)] = item
    return x, lengths


def valid_mask(x: Array, lengths: IntArray) -> BoolArray:
    """(B, N): True for the steps of padded series (B, N, V) that are not padding."""
    return np.asarray(np.arange(x.shape[1]) < lengths[:, None])


@dataclass(frozen=True)
class Standardizer:
    """Mean and standard deviation of every variable, for standardization.

    Attributes
    ----------
    mean, std : ndarray of shape (V,)
        A constant variable has std one.

    Examples
    --------
    >>> import numpy as np
    >>> x, lengths = pad_series([np.array([[1.0], [5.0]]), np.array([[3.0]])])
    >>> Standardizer.fit(x, lengths).transform(x, lengths).round(2)[:, :, 0].tolist()
    [[-1.2200000286102295, 1.2200000286102295], [0.0, 0.0]]
    """

    mean: Array
    std: Array

    @classmethod
    def fit(cls, x: Array, lengths: IntArray) -> Standardizer:
        """Compute them over all valid steps of series (B, N, V)."""
        rows = x[valid_mask(x, lengths)].astype(np.float64)
        return cls(rows.mean(axis=0), column_std(rows))

    def transform(self, x: Array, lengths: IntArray) -> Array:
        """Standardized series in float32, with zeros in the padding."""
        bind("V", mean=self.mean).bind("B N V", x=x)
        scaled = (x - self.mean) / self.std
        scaled[~valid_mask(x, lengths)] = 0
        return scaled.astype(np.float32)
