"""Similarity of learned position embeddings."""

from __future__ import annotations

import numpy as np

from headwise.shapes import Array, bind


def position_similarity(positions: Array) -> Array:
    r"""Cosine of the angle between every two tokens' position embeddings.

    .. math:: \frac{e_n \cdot e_m}{\lVert e_n \rVert \lVert e_m \rVert}

    Source: Dosovitskiy et al., arXiv 2010.11929 (2020), figure 7, middle.

    Parameters
    ----------
    positions : ndarray of shape (N, D)
        Without that of the class token, which has no location.

    Returns
    -------
    ndarray of shape (N, N)
        From −1 to 1; 0 for an embedding of zeros.

    Raises
    ------
    ShapeError
        If positions are not (N, D).

    Examples
    --------
    >>> import numpy as np
    >>> position_similarity(np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])) + 0
    array([[ 1.,  0., -1.],
           [ 0.,  1.,  0.],
           [-1.,  0.,  1.]])
    """
    bind("N D", positions=positions)
    length = np.linalg.norm(positions, axis=1, keepdims=True)
    unit = np.divide(positions, length, out=np.zeros_like(positions), where=length > 0)
    return np.asarray(np.clip(unit @ unit.T, -1, 1))
