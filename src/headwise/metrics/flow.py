"""Attention flow: how much could come through from each input, if every weight were a pipe of that width.

Letters: L layers, H heads, N tokens.
"""

from __future__ import annotations

import numpy as np

from headwise.errors import DataError, MissingExtraError
from headwise.metrics.rollout import residual_mixture
from headwise.shapes import Array, bind

__all__ = ["flow"]

_ONE = 1 << 30  # capacities are whole numbers of 32 bits; what leaves a token sums to this, so no flow is more
_ROUNDING = 0.005  # how far a row may be from one: weights that were rounded to bfloat16 are within it


def flow(weights: Array, source: int = 0, *, residual: float = 0.5) -> Array:
    r"""The maximum flow from one output to each input, one input at a time.

    Tokens of every layer are nodes, and a token n of layer l + 1 is joined to a token m of layer l by an edge of
    capacity :math:`M^{(l)}_{nm}`, as for `headwise.metrics.rollout.rollout`. Every input has the whole network to
    itself, so the values do not sum to one.

    Source: Abnar & Zuidema, arXiv 2005.00928 (2020), section 3. The flow is exact for capacities rounded to multiples
    of 2⁻³⁰, so it is off by at most 2⁻³¹ for each edge of the smallest cut.

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
        If there is no such token, or weights are negative, NaN, or in rows that do not sum to one.
    MissingExtraError
        If SciPy is not installed.

    Examples
    --------
    All of the first token's attention is on the second, and half of it passes by on the residual path:

    >>> import numpy as np
    >>> flow(np.array([[[[0.0, 1.0], [0.0, 1.0]]]]))
    array([0.5, 0.5])
    """
    try:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_flow
    except ImportError:
        raise MissingExtraError("attention flow", "scipy", "lab") from None
    sizes = bind("L H N N", weights=weights)
    depth, n = sizes["L"], sizes["N"]
    if not 0 <= source < n:
        raise DataError(f"source: expected a token from 0 to {n - 1}; got {source}.")
    _check_rows(weights)
    capacities = np.rint(residual_mixture(weights.astype(np.float64), residual) * _ONE).astype(np.int32)
    graph = np.zeros(((depth + 1) * n,) * 2, np.int32)  # node l·N + n is token n after l layers
    for i, layer in enumerate(capacities):
        graph[(i + 1) * n : (i + 2) * n, i * n : (i + 1) * n] = layer
    sparse = csr_array(graph)
    return np.array([maximum_flow(sparse, depth * n + source, m).flow_value / _ONE for m in range(n)])


def _check_rows(weights: Array) -> None:
    """Pipes have a width, and all that leave a token are together as wide as one."""
    away = np.abs(weights.sum(axis=-1, dtype=np.float64) - 1).max(initial=0)
    if not away <= _ROUNDING or weights.min(initial=0) < 0:  # nor NaN
        raise DataError(
            f"weights: expected none below 0, and rows that sum to one; the least is {weights.min():.3g}, and a row is "
            f"{away:.3g} away from one. Logits, or weights of other axes?"
        )
