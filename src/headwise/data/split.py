"""Stratified hold-out sets."""

from __future__ import annotations

import numpy as np

from headwise.shapes import IntArray


def stratified_holdout(labels: IntArray, fraction: float, rng: np.random.Generator) -> IntArray:
    """Indices, in order, of a random fraction of each class: at least one item, and never all.

    Parameters
    ----------
    labels : ndarray of int of shape (B,)
        Every class has two items or more.
    fraction : float
        Between 0 and 1.
    rng : Generator

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.repeat([0, 1], [8, 2])
    >>> np.bincount(labels[stratified_holdout(labels, 0.25, np.random.default_rng(0))])
    array([2, 1])
    """
    indices = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        indices.append(members[: min(max(1, round(fraction * len(members))), len(members) - 1)])
    return np.sort(np.concatenate(indices))
