"""The linear layer of pretrained models: y = x Wᵀ (+ b).

Unlike `headwise.nn.linear` the bias is optional, and the weight may be a view of a larger or transposed array, so that
fused and transposed layouts of other packages need no copy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.ops.dispatch import backend
from headwise.nn.params import Params
from headwise.shapes import Array


class ProjectionCache(NamedTuple):
    """Rows of the input (R, D), the weight (E, D), and whether there is a bias."""

    rows: Array
    weight: Array
    biased: bool


def projection_forward(x: Array, params: Params) -> tuple[Array, ProjectionCache]:
    """Map each token's features linearly.

    Parameters
    ----------
    x : ndarray of shape (..., D)
    params : dict
        ``weight`` (E, D), and ``bias`` (E,) if the layer has one.

    Returns
    -------
    y : ndarray of shape (..., E)
    cache : ProjectionCache
    """
    weight, bias = params["weight"], params.get("bias")
    rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
    y = backend(rows, len(weight)).linear(rows, weight, np.zeros(len(weight), rows.dtype) if bias is None else bias)
    return y.reshape(*x.shape[:-1], -1), ProjectionCache(rows, weight, bias is not None)


def projection_backward(dy: Array, cache: ProjectionCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to ``weight`` and ``bias``."""
    rows = np.ascontiguousarray(dy.reshape(-1, dy.shape[-1]))
    across = np.ascontiguousarray(rows.T)
    grads: Params = {"weight": _multiply(across, cache.rows)}
    if cache.biased:
        grads["bias"] = rows.sum(axis=0)
    return _multiply(rows, cache.weight).reshape(*dy.shape[:-1], -1), grads


def _multiply(a: Array, b: Array) -> Array:
    """The product of two matrices, of which `a` is contiguous."""
    return backend(a, b.shape[1]).linear(a, b.T, np.zeros(b.shape[1], a.dtype))
