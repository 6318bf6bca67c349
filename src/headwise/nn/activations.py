r"""Activation functions: ReLU, and GELU in its tanh form y = x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).

Source: Hendrycks & Gimpel, "Gaussian Error Linear Units", arXiv 1606.08415 (2016), section 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.ops.dispatch import backend
from headwise.shapes import Array, BoolArray


class GeluCache(NamedTuple):
    """The input x and the hyperbolic tangent t."""

    x: Array
    t: Array


def gelu_forward(x: Array) -> tuple[Array, GeluCache]:
    """Compute y = x/2 · (1 + t) with t = tanh(c (x + a x³)), element by element."""
    x = np.ascontiguousarray(x)
    y, t = backend(x).gelu(x)
    return y, GeluCache(x, t)


def gelu_backward(dy: Array, cache: GeluCache) -> Array:
    """Gradient with respect to x: dy/2 · ((1 + t) + x (1 − t²) c (1 + 3a x²))."""
    dx: Array = backend(cache.x).gelu_backward(np.ascontiguousarray(dy), *cache)
    return dx


def relu_forward(x: Array) -> tuple[Array, BoolArray]:
    """Compute y = max(x, 0), element by element; the cache is True where x was positive."""
    return np.maximum(x, x.dtype.type(0)), x > 0


def relu_backward(dy: Array, cache: BoolArray) -> Array:
    """Gradient with respect to x: dy where x was positive."""
    return dy * cache
