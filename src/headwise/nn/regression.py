"""Losses of a regression: the mean absolute and the mean squared error."""

from __future__ import annotations

import numpy as np

from headwise.shapes import Array, bind

__all__ = [
    "absolute_error_backward",
    "absolute_error_forward",
    "squared_error_backward",
    "squared_error_forward",
]


def absolute_error_forward(y: Array, target: Array) -> tuple[float, Array]:
    """Mean of abs(y − target) over all entries; the cache is the difference.

    Parameters
    ----------
    y, target : ndarray of shape (B, E)

    Returns
    -------
    loss : float
    cache : ndarray of shape (B, E)

    Raises
    ------
    ShapeError
        If the shapes differ: they are not broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> absolute_error_forward(np.array([[1.0], [5.0]]), np.array([[2.0], [2.0]]))[0]
    2.0
    """
    bind("B E", y=y, target=target)
    difference = y - target
    return float(np.abs(difference).mean()), difference


def absolute_error_backward(cache: Array) -> Array:
    """Gradient of the loss with respect to y: the difference's sign, shared out."""
    return np.sign(cache) / cache.dtype.type(cache.size)


def squared_error_forward(y: Array, target: Array) -> tuple[float, Array]:
    """Mean of (y − target)² over all entries; the cache is the difference.

    Parameters
    ----------
    y, target : ndarray of shape (B, E)

    Returns
    -------
    loss : float
    cache : ndarray of shape (B, E)

    Raises
    ------
    ShapeError
        If the shapes differ: they are not broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> squared_error_forward(np.array([[1.0], [5.0]]), np.array([[2.0], [2.0]]))[0]
    5.0
    """
    bind("B E", y=y, target=target)
    difference = y - target
    return float(np.square(difference).mean()), difference


def squared_error_backward(cache: Array) -> Array:
    """Gradient of the loss with respect to y: twice the difference, shared out."""
    return cache * cache.dtype.type(2 / cache.size)
