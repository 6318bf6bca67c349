"""Batch normalisation: y = g (x − mean) / √(var + ε) + b, each feature over the rows of a batch.

Source: Ioffe & Szegedy, "Batch Normalization", arXiv 1502.03167 (2015), algorithms 1 and 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.params import Params
from headwise.shapes import Array

_EPSILON = 1e-5


class BatchNormCache(NamedTuple):
    """What the backward pass needs, and the statistics of the batch.

    Attributes
    ----------
    normalized : ndarray of shape (R, D)
    inv_std, gain : ndarray of shape (D,)
    batch_stats : dict
        ``mean`` and ``variance`` (D,) of this batch; empty if the running averages were used.
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

    Padding must be removed before: every row enters the statistics.

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
        ``cache.batch_stats`` holds the unbiased variance, R / (R − 1) times that of the rows, as in the source.

    Examples
    --------
    >>> import numpy as np
    >>> y, cache = batch_norm_forward(np.array([[1.0], [2.0], [6.0]]), batch_norm_params(1), training=True)
    >>> y.round(2).ravel(), cache.batch_stats["mean"], cache.batch_stats["variance"]
    (array([-0.93, -0.46,  1.39]), array([3.]), array([7.]))
    """
    batch_stats: Params = {}
    if training:
        normalized = rows - rows.mean(axis=0)
        variance = np.einsum("ri,ri->i", normalized, normalized) / len(rows)
        batch_stats = {"mean": rows.mean(axis=0), "variance": variance * (len(rows) / max(1, len(rows) - 1))}
    else:
        normalized, variance = rows - params["mean"], params["variance"]
    inv_std = 1 / np.sqrt(variance + rows.dtype.type(_EPSILON))
    normalized *= inv_std
    y = normalized * params["gain"] + params["bias"]
    return y, BatchNormCache(normalized, inv_std, params["gain"], batch_stats)


def batch_norm_backward(dy: Array, cache: BatchNormCache) -> tuple[Array, Params]:
    """Gradients with respect to the rows (R, D), and to ``gain`` and ``bias``."""
    normalized, inv_std, gain, batch_stats = cache
    dgain, dbias = np.einsum("ri,ri->i", dy, normalized), dy.sum(axis=0)
    dx = dy * gain  # y = g n + b
    if batch_stats:
        # n = (x − mean) / std: normalization removed the mean of dn and its component along n
        dx -= gain * dbias / len(dy)
        dx -= normalized * (gain * dgain / len(dy))
    dx *= inv_std
    return dx, {"gain": dgain, "bias": dbias}
