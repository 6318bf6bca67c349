"""Similarity of the maps of heads.

Letters: ... leading axes (layers, heads), K heads in all, N tokens.
"""

from __future__ import annotations

import numpy as np

from headwise.metrics.concentration import entropy, normalize_rows
from headwise.shapes import Array


def head_agreement(maps: Array) -> Array:
    r"""One less the Jensen–Shannon distance between every two heads' maps.

    .. math:: 1 - \sqrt{h\bigl(\tfrac{p + q}2\bigr) - \tfrac{h(p) + h(q)}2}, \qquad h(p) = -\sum_m p_m \log_2 p_m

    Source: Lin, "Divergence measures based on the Shannon entropy" (1991); its root is a distance: Endres & Schindelin
    (2003). In bits it is at most one.

    Parameters
    ----------
    maps : ndarray of shape (..., N)
        Non-negative maps, one per head; each is normalized to sum to one, and zeros count as uniform.

    Returns
    -------
    ndarray of shape (K, K)
        From 0, no token in common, to 1, equal; heads in the order of ``maps.reshape(-1, N)``.

    Examples
    --------
    >>> import numpy as np
    >>> head_agreement(np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 0.5, 0.5]]))
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]])
    """
    p = normalize_rows(maps.reshape(-1, maps.shape[-1]).astype(np.float64))
    return np.asarray(1 - jensen_shannon_distance(p[:, None], p))


def jensen_shannon_distance(p: Array, q: Array) -> Array:
    """Distance, from 0 to 1, of distributions over the last axis, in bits; sources as for `head_agreement`."""
    divergence = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    return np.asarray(np.sqrt(np.clip(divergence, 0, 1)))  # rounding can give −1e-17 for equal distributions
