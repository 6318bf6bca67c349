"""Attention rollout: how attention composes over layers, if it were all that happened.

Letters: ... leading axes, L layers, H heads, N tokens.
"""

from __future__ import annotations

import numpy as np

from headwise.errors import DataError
from headwise.shapes import Array, bind

__all__ = ["residual_mixture", "rollout"]


def residual_mixture(weights: Array, residual: float = 0.5) -> Array:
    r"""One matrix a layer: the mean over heads, mixed with the residual path that carries each token past them.

    .. math:: M^{(l)} = r I + (1 - r) \frac1H \sum_h A^{(l,h)}

    Source: Abnar & Zuidema, arXiv 2005.00928 (2020), section 3, where r is one half.

    Parameters
    ----------
    weights : ndarray of shape (..., L, H, N, N)
    residual : float
        r, the residual path's share, from 0 to 1.

    Returns
    -------
    ndarray of shape (..., L, N, N)

    Raises
    ------
    ShapeError
        If the last two axes differ.
    DataError
        If the share is not from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> residual_mixture(np.array([[[[0.0, 1.0], [0.5, 0.5]]]]))  # one layer of one head
    array([[[0.5 , 0.5 ],
            [0.25, 0.75]]])
    """
    n = bind("... L H N N", weights=weights)["N"]
    if not 0 <= residual <= 1:
        raise DataError(f"residual: expected a share from 0 to 1; got {residual}.")
    return np.asarray(residual * np.eye(n, dtype=weights.dtype) + (1 - residual) * weights.mean(axis=-3))


def rollout(weights: Array, *, residual: float = 0.5) -> Array:
    r"""How much of each output is taken from each input, through all layers.

    .. math:: R = M^{(L)} \cdots M^{(2)} M^{(1)}

    Values, MLPs and normalisation are left out, so this is a map of the weights, not of what the model computes.

    Source: Abnar & Zuidema, "Quantifying Attention Flow in Transformers", arXiv 2005.00928 (2020), section 3, where r
    is one half.

    Parameters
    ----------
    weights : ndarray of shape (..., L, H, N, N)
        Attention weights, the first layer first, with the class token if there is one; rows that sum to one.
    residual : float
        r, the residual path's share, from 0 to 1.

    Returns
    -------
    ndarray of shape (..., N, N)
        Rows that sum to one, for a product of such matrices is one: nothing is normalised afterwards.

    Raises
    ------
    ShapeError
        If the last two axes differ.
    DataError
        If the share is not from 0 to 1.

    Examples
    --------
    Two layers in which each token looks at the other only:

    >>> import numpy as np
    >>> swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> rollout(np.stack([swap, swap])[:, None])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    layers = residual_mixture(weights, residual)
    product = layers[..., 0, :, :]
    for i in range(1, layers.shape[-3]):
        product = layers[..., i, :, :] @ product  # the later layer reads what the earlier one wrote
    return product
