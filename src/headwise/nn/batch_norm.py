"""Batch normalisation: y = g (x − mean) / √(var + ε) + b, each feature over the rows of a batch.

Source: Ioffe & Szegedy, "Batch Normalization", arXiv 1502.03167 (2015), algorithms 1 and 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.params import Params
from headwise.shapes import Array

__all__ = ["BatchNormCache", "batch_norm_backward", "batch_norm_forward", "batch_norm_params"]

_EPSILON = 1e-5


class BatchNormCache(NamedTuple):
    """What the backward pass needs, and what the running averages move towards.

    Attributes
    ----------
    normal : ndarray of shape (R, D)
    inverse, gain : ndarray of shape (D,)
    seen : dict
        ``mean`` and ``variance`` (D,) of this batch; empty where the running averages were used.
    """

    normalized: Array
    inv_std: Array
    gain: Array
    batch_stats: Params


def batch_norm_params(width: int) -> Params:
    """Gain one, bias zero, and the running averages: ``mean`` zero, ``variance`` one. These two have no gradient."""
    zeros, ones = np.zeros(width, np.float32), np.ones(width, np.float32)
    return {"gain": ones, "bias": zeros, "mean": zeros.copy(), "variance": ones.copy()}


def batch_norm_forward(rows: Array, params: Params, *, training: bool) -> tuple[Array, BatchNormCache]:
    """Normalise each feature over all rows.

    Rows that are padding must be taken out before: whatever is here enters the statistics.

    Parameters
    ----------
    rows : ndarray of shape (R, D)
        The valid time steps of all items.
    params : dict
        ``gain``, ``bias``, ``mean`` and ``variance``, all (D,).
    training : bool
        Use the mean and variance of these rows, rather than the running averages.

    Returns
    -------
    y : ndarray of shape (R, D)
    cache : BatchNormCache
        ``cache.seen`` holds the variance without bias, R / (R − 1) times that of the rows, as the source has it.

    Examples
    --------
    >>> import numpy as np
    >>> y, cache = batch_norm_forward(np.array([[1.0], [2.0], [6.0]]), batch_norm_params(1), training=True)
    >>> y.round(2).ravel(), cache.seen["mean"], cache.seen["variance"]
    (array([-0.93, -0.46,  1.39]), array([3.]), array([7.]))
    """
    seen: Params = {}
    if training:
        normal = rows - rows.mean(axis=0)
        variance = np.einsum("ri,ri->i", normal, normal) / len(rows)
        seen = {"mean": rows.mean(axis=0), "variance": variance * (len(rows) / max(1, len(rows) - 1))}
    else:
        normal, variance = rows - params["mean"], params["variance"]
    inverse = 1 / np.sqrt(variance + rows.dtype.type(_EPSILON))
    normal *= inverse
    return normal * params["gain"] + params["bias"], BatchNormCache(normal, inverse, params["gain"], seen)


def batch_norm_backward(dy: Array, cache: BatchNormCache) -> tuple[Array, Params]:
    """Gradients with respect to the rows (R, D), and to ``gain`` and ``bias``."""
    normal, inverse, gain, seen = cache
    dgain, dbias = np.einsum("ri,ri->i", dy, normal), dy.sum(axis=0)
    dx = dy * gain  # y = g n + b
    if seen:
        # n = (x − mean) · inverse: the mean of dn and its part along n are what the batch's statistics took out
        dx -= gain * dbias / len(dy)
        dx -= normal * (gain * dgain / len(dy))
    dx *= inverse
    return dx, {"gain": dgain, "bias": dbias}
