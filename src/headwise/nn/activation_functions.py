"""Activation functions by name, element by element: GELU in three forms, SiLU, ReLU and tanh.

- ``gelu``: x Φ(x), with SciPy's error function, or for float32 a kernel that is as accurate.
- ``gelu_tanh``: x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
- ``quick_gelu``: x σ(1.702 x).

Source: Hendrycks & Gimpel, "Gaussian Error Linear Units", arXiv 1606.08415 (2016), section 2.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.nn.ops.dispatch import backend
from headwise.shapes import Array

ACTIVATIONS = ("gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "tanh")


class ActivationCache(NamedTuple):
    """The function's name, its input, and what its slope needs: Φ(x), σ(x), or the hyperbolic tangent."""

    name: str
    x: Array
    saved: Any


def activation_forward(x: Array, name: str) -> tuple[Array, ActivationCache]:
    """Apply an activation function.

    Parameters
    ----------
    x : ndarray of any shape
    name : str
        One of `ACTIVATIONS`.

    Returns
    -------
    y : ndarray of the shape of x
    cache : ActivationCache

    Examples
    --------
    >>> import numpy as np
    >>> [activation_forward(np.array([1.0]), name)[0].round(4)[0].item() for name in ACTIVATIONS]
    [0.8413, 0.8412, 0.8458, 0.7311, 1.0, 0.7616]
    """
    if name in ("gelu", "gelu_tanh"):
        x = np.ascontiguousarray(x)
        y, saved = backend(x).normal_gelu(x) if name == "gelu" else backend(x).gelu(x)
        return y, ActivationCache(name, x, saved)
    if name in _SIGMOID_RATES:
        gate = _sigmoid(x * x.dtype.type(_SIGMOID_RATES[name]))
        return x * gate, ActivationCache(name, x, gate)
    if name == "relu":
        return np.maximum(x, 0), ActivationCache(name, x, None)
    if name == "tanh":
        y = np.tanh(x)
        return y, ActivationCache(name, x, y)
    raise DataError(f"activation: expected one of {', '.join(ACTIVATIONS)}; got {name!r}.")


def activation_backward(dy: Array, cache: ActivationCache) -> Array:
    """Gradient with respect to x."""
    name, x, saved = cache
    if name == _FROZEN:
        return np.asarray(dy * saved)
    if name == "gelu":
        density = np.exp(-0.5 * x * x) * x.dtype.type(1 / math.sqrt(2 * math.pi))
        return np.asarray(dy * (saved + x * density))  # (x Φ)' = Φ + x φ
    if name == "gelu_tanh":
        return backend(x).gelu_backward(np.ascontiguousarray(dy), x, saved)
    if name == "relu":
        return np.asarray(dy * (x > 0))
    if name == "tanh":
        return np.asarray(dy * (1 - saved * saved))
    rate = x.dtype.type(_SIGMOID_RATES[name])
    return np.asarray(dy * saved * (1 + rate * x * (1 - saved)))  # (x σ(r x))' = σ + r x σ (1 − σ)


def freeze_activation(cache: ActivationCache) -> ActivationCache:
    """The cache of the linear map y = r x, with the ratio r = f(x) / x of this input; r = f'(0) where x is 0."""
    name, x, saved = cache
    if name == "relu":
        ratio = (x > 0).astype(x.dtype)
    elif name == "tanh":
        ratio = np.divide(saved, x, out=np.ones_like(x), where=x != 0)
    else:  # Φ(x), σ(r x) or (1 + t) / 2: what x is multiplied by
        ratio = 0.5 * (1 + saved) if name == "gelu_tanh" else saved
    return ActivationCache(_FROZEN, x, ratio)


_FROZEN = "frozen"
_SIGMOID_RATES = {"quick_gelu": 1.702, "silu": 1.0}


def _sigmoid(x: Array) -> Array:
    """σ(x) by tanh, which cannot overflow."""
    y = np.tanh(x * x.dtype.type(0.5))
    y += 1
    y *= 0.5
    return y
