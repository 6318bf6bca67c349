"""Attention rollout: attention weights composed over layers.

Letters: ... leading axes, L layers, H heads, N tokens.
"""

from __future__ import annotations

import numpy as np

from headwise.errors import DataError
from headwise.shapes import Array, bind


def residual_mixture(weights: Array, residual: float = 0.5) -> Array:
    r"""Mean over heads mixed with the identity, which represents the residual path; one matrix per layer.

    .. math:: M^{(l)} = r I + (1 - r) \frac1H \sum_h A^{(l,h)}

    Source: Abnar & Zuidema, arXiv 2005.00928 (2020), section 3, where r is one half.

    Parameters
    ----------
    weights : ndarray of shape (..., L, H, N, N)
    residual : float
        r, the weight of the residual path, from 0 to 1.

    Returns
    -------
    ndarray of shape (..., L, N, N)

    Raises
    ------
    ShapeError
        If the last two axes differ.
    DataError
        If r is not from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> residual_mixture(np.array([[[[0.0, 1.0], [0.5, 0.5]]]]))  # one layer of one head
    array([[[0.5 , 0.5 ],
            [0.25, 0.75]]])
    """
    n = bind("... L H N N", weights=weights)["N"]
    if not 0 <= residual <= 1:
        raise DataError(f"residual: expected a number from 0 to 1; got {residual}.")
    return np.asarray(residual * np.eye(n, dtype=weights.dtype) + (1 - residual) * weights.mean(axis=-3))


def rollout(weights: Array, *, residual: float = 0.5) -> Array:
    r"""Contribution of each input to each output through all layers.

    .. math:: R = M^{(L)} \cdots M^{(2)} M^{(1)}

    Values, MLPs and normalization are ignored: this describes the attention weights, not the model's output.

    Source: Abnar & Zuidema, "Quantifying Attention Flow in Transformers", arXiv 2005.00928 (2020), section 3, where r
    is one half.

    Parameters
    ----------
    weights : ndarray of shape (..., L, H, N, N)
        Attention weights, the first layer first, with the class token if there is one; rows that sum to one.
    residual : float
        r, the weight of the residual path, from 0 to 1.

    Returns
    -------
    ndarray of shape (..., N, N)
        Rows sum to one, as in every product of such matrices.

    Raises
    ------
    ShapeError
        If the last two axes differ.
    DataError
        If r is not from 0 to 1.

    Examples
    --------
    Two layers in which each token attends only to the other:

    >>> import numpy as np
    >>> swap = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> rollout(np.stack([swap, swap])[:, None])
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """
    layers = residual_mixture(weights, residual)
    product = layers[..., 0, :, :]
    for i in range(1, layers.shape[-3]):
        product = layers[..., i, :, :] @ product  # later layers multiply from the left
    return product
