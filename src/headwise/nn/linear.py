"""The linear layer: y = x Wᵀ + b."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.ops.dispatch import backend
from headwise.nn.params import Params
from headwise.shapes import Array


class LinearCache(NamedTuple):
    """Rows of the input (R, D), and the weight (E, D)."""

    rows: Array
    weight: Array


def linear_params(inputs: int, outputs: int, rng: np.random.Generator) -> Params:
    """Weight (outputs, inputs) uniform in ±√(6 / (inputs + outputs)), bias zero.

    Source: Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010), eq. 16.
    """
    bound = np.sqrt(6 / (inputs + outputs))
    weight = rng.uniform(-bound, bound, (outputs, inputs)).astype(np.float32)
    return {"weight": weight, "bias": np.zeros(outputs, np.float32)}


def linear_forward(x: Array, params: Params, residual: Array | None = None) -> tuple[Array, LinearCache]:
    """Compute y = x Wᵀ + b + residual; the gradient of the residual is dy itself.

    Parameters
    ----------
    x : ndarray of shape (..., D)
    params : dict
        ``weight`` (E, D) and ``bias`` (E,).
    residual : ndarray of shape (..., E), optional
        Added in the same pass.

    Returns
    -------
    y : ndarray of shape (..., E)
    cache : LinearCache
    """
    weight = params["weight"]
    rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))  # one matrix product instead of one per item
    added = None if residual is None else residual.reshape(len(rows), -1)
    y = backend(rows, len(weight)).linear(rows, weight, params["bias"], added)
    return y.reshape(*x.shape[:-1], -1), LinearCache(rows, weight)


def linear_backward(dy: Array, cache: LinearCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to ``weight`` and ``bias``."""
    rows, weight = cache
    dy_rows = np.ascontiguousarray(dy.reshape(-1, dy.shape[-1]))
    dx, dweight, dbias = backend(dy_rows).linear_backward(dy_rows, rows, weight)  # y = x Wᵀ + b
    return dx.reshape(*dy.shape[:-1], -1), {"weight": dweight, "bias": dbias}
