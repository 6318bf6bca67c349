"""The linear layer of pretrained models: y = x Wᵀ (+ b), one product of the machine's BLAS.

Unlike `headwise.nn.linear` the bias is optional, and the weight may be a view of a larger or transposed array, so that
fused and transposed layouts of other packages need no copy.
"""

from __future__ import annotations

from typing import NamedTuple

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
    rows = x.reshape(-1, x.shape[-1])
    y = rows @ weight.T
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], -1), ProjectionCache(rows, weight, bias is not None)


def projection_backward(dy: Array, cache: ProjectionCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to ``weight`` and ``bias``."""
    rows = dy.reshape(-1, dy.shape[-1])
    grads: Params = {"weight": rows.T @ cache.rows}
    if cache.biased:
        grads["bias"] = rows.sum(axis=0)
    dx: Array = rows @ cache.weight
    return dx.reshape(*dy.shape[:-1], -1), grads
