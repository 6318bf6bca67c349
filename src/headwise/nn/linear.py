"""The linear layer: y = x Wᵀ (+ b), with a backward pass for training and one for pretrained models."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.ops.dispatch import backend
from headwise.nn.params import Params
from headwise.shapes import Array


class LinearCache(NamedTuple):
    """Rows of the input (R, D), the weight (E, D), and whether there is a bias."""

    rows: Array
    weight: Array
    biased: bool


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
        ``weight`` (E, D), which may be a view of a larger or transposed array, and ``bias`` (E,) if there is one.
    residual : ndarray of shape (..., E), optional
        Added in the same pass.

    Returns
    -------
    y : ndarray of shape (..., E)
    cache : LinearCache
    """
    weight, bias = params["weight"], params.get("bias")
    rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))  # one matrix product instead of one per item
    added = None if residual is None else residual.reshape(len(rows), -1)
    start = np.zeros(len(weight), rows.dtype) if bias is None else bias
    y = backend(rows, len(weight)).linear(rows, weight, start, added)
    return y.reshape(*x.shape[:-1], -1), LinearCache(rows, weight, bias is not None)


def linear_backward(dy: Array, cache: LinearCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to ``weight`` and ``bias``, of a layer that has both."""
    rows, weight, _ = cache
    dy_rows = np.ascontiguousarray(dy.reshape(-1, dy.shape[-1]))
    dx, dweight, dbias = backend(dy_rows).linear_backward(dy_rows, rows, weight)  # y = x Wᵀ + b
    return dx.reshape(*dy.shape[:-1], -1), {"weight": dweight, "bias": dbias}


def linear_backward_parallel(dy: Array, cache: LinearCache) -> tuple[Array, Params]:
    """The same for the large matrices of pretrained models, on several threads and with or without a bias."""
    rows = np.ascontiguousarray(dy.reshape(-1, dy.shape[-1]))
    across = np.ascontiguousarray(rows.T)
    grads: Params = {"weight": _multiply(across, cache.rows)}
    if cache.biased:
        grads["bias"] = rows.sum(axis=0)
    return _multiply(rows, cache.weight).reshape(*dy.shape[:-1], -1), grads


def _multiply(a: Array, b: Array) -> Array:
    """The product of two matrices, of which `a` is contiguous."""
    return backend(a, b.shape[1]).linear(a, b.T, np.zeros(b.shape[1], a.dtype))
