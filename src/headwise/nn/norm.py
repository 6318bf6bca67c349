"""Layer normalisation: y = g (x − mean) / √(var + ε) + b, over the features of each token.

Source: Ba, Kiros & Hinton, "Layer Normalization", arXiv 1607.06450 (2016).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.params import Params
from headwise.shapes import Array

__all__ = ["NormCache", "layer_norm_backward", "layer_norm_forward", "layer_norm_params"]

_EPSILON = 1e-5


class NormCache(NamedTuple):
    """The normalised input (..., D), one over its deviation (..., 1), and the gain (D,)."""

    normal: Array
    inverse: Array
    gain: Array


def layer_norm_params(width: int) -> Params:
    """Gain one, bias zero."""
    return {"gain": np.ones(width, np.float32), "bias": np.zeros(width, np.float32)}


def layer_norm_forward(x: Array, params: Params) -> tuple[Array, NormCache]:
    """Normalise each token over its features.

    Parameters
    ----------
    x : ndarray of shape (..., D)
    params : dict
        ``gain`` and ``bias``, both (D,).

    Returns
    -------
    y : ndarray of shape (..., D)
    cache : NormCache
    """
    normal = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("...i,...i->...", normal, normal)[..., None] / x.shape[-1]
    inverse = 1 / np.sqrt(variance + x.dtype.type(_EPSILON))
    normal *= inverse
    return normal * params["gain"] + params["bias"], NormCache(normal, inverse, params["gain"])


def layer_norm_backward(dy: Array, cache: NormCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to ``gain`` and ``bias``."""
    normal, inverse, gain = cache
    width = dy.shape[-1]
    rows, normal_rows = dy.reshape(-1, width), normal.reshape(-1, width)
    grads = {"gain": np.einsum("ni,ni->i", rows, normal_rows), "bias": rows.sum(axis=0)}
    dn = dy * gain  # y = g n + b
    # n = (x − mean) · inverse: the mean of dn and its part along n are what the normalisation took out
    along = np.einsum("...i,...i->...", dn, normal)[..., None] / width
    dx = dn - dn.mean(axis=-1, keepdims=True)
    dx -= normal * along
    dx *= inverse
    return dx, grads
