"""What is not known of a head that gives the image no weight: NaN, which no mean counts and no rule chooses."""

from __future__ import annotations

import numpy as np

from headwise.metrics.concentration import normalize_rows
from headwise.shapes import Array

__all__ = ["among_tokens", "nan_mean"]


def among_tokens(maps: Array) -> Array:
    """(..., N) weights on the image's tokens -> the same made to sum to one; NaN where all are zero.

    Examples
    --------
    >>> import numpy as np
    >>> among_tokens(np.array([[0.25, 0.5, 0.25], [0, 0, 0]]))
    array([[0.25, 0.5 , 0.25],
           [ nan,  nan,  nan]])
    """
    return np.where(maps.any(axis=-1, keepdims=True), normalize_rows(maps), np.nan)


def nan_mean(values: Array) -> Array:
    """(..., H) -> (...): the mean of those that are known; NaN where none is.

    Examples
    --------
    >>> import numpy as np
    >>> nan_mean(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]]))
    array([ 2., nan])
    """
    known = ~np.isnan(values)
    count = known.sum(axis=-1)
    total = np.where(known, values, 0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
