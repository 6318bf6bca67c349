"""ReLU: y = max(x, 0)."""

from __future__ import annotations

import numpy as np

from headwise.shapes import Array, BoolArray

__all__ = ["relu_backward", "relu_forward"]


def relu_forward(x: Array) -> tuple[Array, BoolArray]:
    """Y = max(x, 0), element by element; the cache is where x was above zero."""
    return np.maximum(x, x.dtype.type(0)), x > 0


def relu_backward(dy: Array, cache: BoolArray) -> Array:
    """Gradient with respect to x: dy where x was above zero."""
    return dy * cache
