"""Layer normalisation: y = g (x − mean) / √(var + ε) + b, over the features of each token.

Source: Ba, Kiros & Hinton, "Layer Normalization", arXiv 1607.06450 (2016).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.ops.dispatch import backend
from headwise.nn.params import Params
from headwise.shapes import Array

_EPSILON = 1e-5


class LayerNormCache(NamedTuple):
    """The normalized input (R, D), 1 / std (R, 1) and the gain (D,), for the R tokens of all items."""

    normalized: Array
    inv_std: Array
    gain: Array


def layer_norm_params(width: int) -> Params:
    """Gain one, bias zero."""
    return {"gain": np.ones(width, np.float32), "bias": np.zeros(width, np.float32)}


def layer_norm_forward(x: Array, params: Params, epsilon: float = _EPSILON) -> tuple[Array, LayerNormCache]:
    """Normalise each token over its features.

    Parameters
    ----------
    x : ndarray of shape (..., D)
    params : dict
        ``gain`` and ``bias``, both (D,).
    epsilon : float
        Added to the variance.

    Returns
    -------
    y : ndarray of shape (..., D)
    cache : LayerNormCache
    """
    rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
    y, normalized, inv_std = backend(rows).layer_norm(rows, params["gain"], params["bias"], epsilon)
    return y.reshape(x.shape), LayerNormCache(normalized, inv_std, params["gain"])


def layer_norm_backward(dy: Array, cache: LayerNormCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to ``gain`` and ``bias``."""
    rows = np.ascontiguousarray(dy.reshape(-1, dy.shape[-1]))
    dx, dgain, dbias = backend(rows).layer_norm_backward(rows, *cache)
    return dx.reshape(dy.shape), {"gain": dgain, "bias": dbias}
