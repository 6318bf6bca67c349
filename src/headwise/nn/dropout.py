"""Dropout: in training each value is zeroed with some probability, and the others are scaled up to keep the mean.

Source: Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).
"""

from __future__ import annotations

import numpy as np

from headwise.shapes import Array


def dropout_forward(x: Array, rate: float, rng: np.random.Generator | None) -> tuple[Array, Array | None]:
    """Compute y = x · mask, where mask is 0 with probability `rate` and 1 / (1 − rate) otherwise.

    Parameters
    ----------
    x : ndarray
    rate : float
        From 0 to less than 1.
    rng : Generator or None
        None for inference: nothing is dropped.

    Returns
    -------
    y : ndarray
    mask : ndarray, or None if nothing was dropped
    """
    if rng is None or rate == 0:
        return x, None
    mask = (rng.random(x.shape, np.float32) >= rate).astype(x.dtype)
    mask /= x.dtype.type(1 - rate)
    return x * mask, mask


def dropout_backward(dy: Array, mask: Array | None) -> Array:
    """Gradient with respect to x."""
    return dy if mask is None else dy * mask
