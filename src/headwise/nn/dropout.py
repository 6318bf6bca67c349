"""Dropout: while training, each number is zeroed with some probability, and the others grow so that the mean stays.

Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).
"""

from __future__ import annotations

import numpy as np

from headwise.shapes import Array

__all__ = ["dropout_backward", "dropout_forward"]


def dropout_forward(x: Array, rate: float, rng: np.random.Generator | None) -> tuple[Array, Array | None]:
    """Y = x · kept, where kept is 0 with probability `rate` and 1 / (1 − rate) otherwise.

    Parameters
    ----------
    x : ndarray
    rate : float
        From 0 to less than 1.
    rng : Generator or None
        None is inference, where everything is kept.

    Returns
    -------
    y : ndarray
    kept : ndarray, or None where nothing was dropped
    """
    if rng is None or rate == 0:
        return x, None
    kept = (rng.random(x.shape, np.float32) >= rate).astype(x.dtype)
    kept /= x.dtype.type(1 - rate)
    return x * kept, kept


def dropout_backward(dy: Array, kept: Array | None) -> Array:
    """Gradient with respect to x."""
    return dy if kept is None else dy * kept
