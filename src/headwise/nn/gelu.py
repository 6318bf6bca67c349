r"""GELU in its tanh form: y = x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).

Source: Hendrycks & Gimpel, "Gaussian Error Linear Units", arXiv 1606.08415 (2016), section 2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from headwise.shapes import Array

__all__ = ["GeluCache", "gelu_backward", "gelu_forward"]

_C = math.sqrt(2 / math.pi)
_A = 0.044715


class GeluCache(NamedTuple):
    """The input, and the hyperbolic tangent."""

    x: Array
    t: Array


def gelu_forward(x: Array) -> tuple[Array, GeluCache]:
    """Y = x/2 · (1 + t) with t = tanh(c (x + a x³)), element by element."""
    t = x * x
    t *= _C * _A
    t += _C
    t *= x
    np.tanh(t, out=t)
    y = t + 1
    y *= x
    y *= 0.5
    return y, GeluCache(x, t)


def gelu_backward(dy: Array, cache: GeluCache) -> Array:
    """Gradient with respect to x: dy/2 · ((1 + t) + x (1 − t²) c (1 + 3a x²))."""
    x, t = cache
    slope = x * x
    slope *= 3 * _A * _C
    slope += _C  # d(c (x + a x³))/dx
    slope *= x
    slope *= 1 - t * t  # dtanh(u) = (1 − t²) du
    slope += t
    slope += 1
    slope *= 0.5
    slope *= dy
    return slope
