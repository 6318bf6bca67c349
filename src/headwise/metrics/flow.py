"""Attention flow: the maximum flow from each input to an output, with attention weights as capacities.

Letters: L layers, H heads, N tokens.
"""

from __future__ import annotations

import numpy as np

from headwise.errors import DataError, require_extra
from headwise.metrics.rollout import residual_mixture
from headwise.metrics.row_sums import check_attention_weights
from headwise.shapes import Array, bind

_ONE = 1 << 30  # capacities are 32-bit integers; those leaving a token sum to this, which bounds every flow


def flow(weights: Array, source: int = 0, *, residual: float = 0.5) -> Array:
    r"""The maximum flow from one output to each input, one input at a time.

    Tokens of every layer are nodes, and a token n of layer l + 1 is joined to a token m of layer l by an edge of
    capacity :math:`M^{(l)}_{nm}`, as for `headwise.metrics.rollout.rollout`. Each input is
    considered alone, so the values do not sum to one.

    Source: Abnar & Zuidema, arXiv 2005.00928 (2020), section 3. The flow is exact for capacities rounded to multiples
    of 2⁻³⁰, so the error is at most 2⁻³¹ per edge of the minimum cut.

    Parameters
    ----------
    weights : ndarray of shape (L, H, N, N)
        Attention weights, the first layer first; rows that sum to one.
    source : int
        The output to start from; 0 is the class token.
    residual : float
        The residual path's share in the capacities.

    Returns
    -------
    ndarray of shape (N,)
        From 0 to 1.

    Raises
    ------
    ShapeError
        If the last two axes differ.
    DataError
        If there is no such token, weights are negative or NaN, or a row does not sum to one.
    MissingExtraError
        If SciPy is not installed.

    Examples
    --------
    All attention of the first token is on the second, and half of it takes the residual path:

    >>> import numpy as np
    >>> flow(np.array([[[[0.0, 1.0], [0.0, 1.0]]]]))
    array([0.5, 0.5])
    """
    with require_extra("attention flow", "scipy", "lab"):
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_flow
    sizes = bind("L H N N", weights=weights)
    depth, n = sizes["L"], sizes["N"]
    if not 0 <= source < n:
        raise DataError(f"source: expected a token from 0 to {n - 1}; got {source}.")
    check_attention_weights(weights)
    capacities = np.rint(residual_mixture(weights.astype(np.float64), residual) * _ONE).astype(np.int32)
    graph = np.zeros(((depth + 1) * n,) * 2, np.int32)  # node l·N + n is token n after l layers
    for i, layer in enumerate(capacities):
        graph[(i + 1) * n : (i + 2) * n, i * n : (i + 1) * n] = layer
    sparse = csr_array(graph)
    return np.array([maximum_flow(sparse, depth * n + source, m).flow_value / _ONE for m in range(n)])
