r"""Attention weighted by the size of what it carries: contributions of tokens to each other in one layer.

Letters: H heads, N queries, M keys, D model width, L layers. A contribution is the vector that key m adds to the output
of query n,

.. math:: T_n(m) = \sum_h p^{(h)}_{nm} v^{(h)}_m W_O^{(h)}

and, where the residual path counts, x_n in addition for m = n.
"""

from __future__ import annotations

import numpy as np

from headwise.metrics.concentration import rows_to_one
from headwise.shapes import Array, bind


def attention_contributions(weights: Array, values: Array) -> Array:
    r"""The vector that each key adds to each query's output.

    .. math:: \sum_h p^{(h)}_{nm} u^{(h)}_m, \qquad u^{(h)}_m = v^{(h)}_m W_O^{(h)}

    Source: Kobayashi et al., "Attention is Not Only a Weight", arXiv 2004.10102 (2020), equation 4.

    Parameters
    ----------
    weights : ndarray of shape (H, N, M)
    values : ndarray of shape (H, M, D)
        u: the values of each head after its part of the output projection.

    Returns
    -------
    ndarray of shape (N, M, D)

    Raises
    ------
    ShapeError
        If heads or keys differ.

    Examples
    --------
    >>> import numpy as np
    >>> attention_contributions(np.array([[[0.25, 0.75]]]), np.array([[[4.0, 0.0], [0.0, 4.0]]]))
    array([[[1., 0.],
            [0., 3.]]])
    """
    sizes = bind("H N M", weights=weights)
    bind(f"{sizes['H']} {sizes['M']} D", values=values)
    return np.asarray(np.einsum("hnm,hmd->nmd", weights, values, optimize=True))


def contribution_norms(contributions: Array) -> Array:
    r"""Length of each contribution: norm-weighted attention, or with the residual path GlobEnc's matrix of a layer.

    .. math:: \lVert T_n(m) \rVert_2

    Sources: Kobayashi et al., arXiv 2004.10102 (2020); Modarressi et al., "GlobEnc", arXiv 2205.03286 (2022).

    Parameters
    ----------
    contributions : ndarray of shape (..., N, M, D)

    Returns
    -------
    ndarray of shape (..., N, M)

    Examples
    --------
    >>> import numpy as np
    >>> contribution_norms(np.array([[[3.0, 4.0], [0.0, 2.0]]]))
    array([[5., 2.]])
    """
    return np.asarray(np.sqrt((contributions * contributions).sum(axis=-1)))


def alti(contributions: Array, outputs: Array) -> Array:
    r"""Share of each key in a query's output, by how much closer to the output its contribution is than zero is.

    .. math:: c_{nm} = \frac{\max(0, \lVert y_n \rVert_1 - \lVert y_n - T_n(m) \rVert_1)}
              {\sum_k \max(0, \lVert y_n \rVert_1 - \lVert y_n - T_n(k) \rVert_1)}

    Source: Ferrando, Gállego & Costa-jussà, "Measuring the Mixing of Contextual Information in the Transformer" (ALTI),
    arXiv 2203.04212 (2022), equations 8 and 9.

    Parameters
    ----------
    contributions : ndarray of shape (N, M, D)
        With the residual path.
    outputs : ndarray of shape (N, D)
        y: the sum of the contributions, and of what no token contributes.

    Returns
    -------
    ndarray of shape (N, M)
        Rows sum to one; a row to which nothing contributes is zero.

    Raises
    ------
    ShapeError
        If the two do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> alti(np.array([[[3.0, 0.0], [0.0, 1.0]]]), np.array([[3.0, 1.0]]))
    array([[0.75, 0.25]])
    """
    sizes = bind("N M D", contributions=contributions)
    bind(f"{sizes['N']} {sizes['D']}", outputs=outputs)
    size = np.abs(outputs).sum(axis=-1)[:, None]
    return rows_to_one(np.maximum(0, size - np.abs(outputs[:, None] - contributions).sum(axis=-1)))


def compose(layers: Array) -> Array:
    r"""Product over layers of matrices whose rows are normalised to one.

    .. math:: R = M^{(L)} \cdots M^{(2)} M^{(1)}

    As in rollout (Abnar & Zuidema, arXiv 2005.00928), with matrices that contain the residual path already.

    Parameters
    ----------
    layers : ndarray of shape (L, N, N)
        Not negative; the first layer first.

    Returns
    -------
    ndarray of shape (N, N)

    Examples
    --------
    >>> import numpy as np
    >>> compose(np.array([[[0.0, 2.0], [3.0, 0.0]], [[1.0, 1.0], [0.0, 5.0]]]))
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    bind("L N N", layers=layers)
    product, *later = rows_to_one(layers)
    for matrix in later:
        product = matrix @ product
    return np.asarray(product)
