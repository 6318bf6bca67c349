"""How far numbers spread, as what they are divided by."""

from __future__ import annotations

import numpy as np

from headwise.shapes import Array

__all__ = ["column_std"]


def column_std(rows: Array) -> Array:
    """The standard deviation of each column of (B, V); one where a column is constant, so that it can be divided by.

    Constant is what has one value only: the deviation of so many times 0.1 is not zero but a rounding error, and
    divided by that another number becomes 10¹⁶.

    Examples
    --------
    >>> import numpy as np
    >>> column_std(np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 2.0]])).round(3)
    array([1.   , 0.816])
    """
    found: Array = np.where(rows.max(axis=0) > rows.min(axis=0), rows.std(axis=0), 1.0)
    return found
