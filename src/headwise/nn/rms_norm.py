"""Root-mean-square normalisation: y = g x / √(mean x² + ε), over the features of each token.

Source: Zhang & Sennrich, "Root Mean Square Layer Normalization", arXiv 1910.07467 (2019).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.params import Params
from headwise.shapes import Array


class RmsNormCache(NamedTuple):
    """The normalised input (..., D), one over its root mean square (..., 1), and the factor g (D,)."""

    normalized: Array
    inverse_rms: Array
    factor: Array


def rms_norm_forward(
    x: Array, params: Params, epsilon: float = 1e-6, offset: float = 0.0
) -> tuple[Array, RmsNormCache]:
    """Divide each token by the root mean square of its features.

    Parameters
    ----------
    x : ndarray of shape (..., D)
    params : dict
        ``gain`` (D,).
    epsilon : float
        Added to the mean square.
    offset : float
        Added to the gain; Gemma stores g − 1.

    Returns
    -------
    y : ndarray of shape (..., D)
    cache : RmsNormCache

    Examples
    --------
    >>> import numpy as np
    >>> y, _ = rms_norm_forward(np.array([[3.0, 4.0]]), {"gain": np.ones(2)}, epsilon=0.0)
    >>> y.round(3)
    array([[0.849, 1.131]])
    """
    mean_square = np.einsum("...i,...i->...", x, x)[..., None] / x.shape[-1]
    inverse = 1 / np.sqrt(mean_square + x.dtype.type(epsilon))
    normalized = x * inverse
    factor = params["gain"] + x.dtype.type(offset) if offset else params["gain"]
    return normalized * factor, RmsNormCache(normalized, inverse, factor)


def rms_norm_backward(dy: Array, cache: RmsNormCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to ``gain``."""
    width = dy.shape[-1]
    dgain = np.einsum("ri,ri->i", dy.reshape(-1, width), cache.normalized.reshape(-1, width))
    dx = dy * cache.factor  # the gradient of n = x · inverse
    along = np.einsum("...i,...i->...", dx, cache.normalized)[..., None] / width  # its part along n is normalised away
    dx -= cache.normalized * along
    dx *= cache.inverse_rms
    return dx, {"gain": dgain}
