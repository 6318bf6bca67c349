"""Losses: softmax cross-entropy, mean absolute error and mean squared error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.ops.dispatch import backend
from headwise.shapes import Array, IntArray, bind


class CrossEntropyCache(NamedTuple):
    """The class probabilities (B, C), and the labels (B,)."""

    probabilities: Array
    labels: IntArray


def cross_entropy_forward(logits: Array, labels: IntArray) -> tuple[float, CrossEntropyCache]:
    """Mean cross-entropy over the batch, in nats.

    Parameters
    ----------
    logits : ndarray of shape (B, C)
    labels : ndarray of int of shape (B,)
        Classes from 0 to C − 1.

    Returns
    -------
    loss : float
    cache : CrossEntropyCache

    Examples
    --------
    >>> import numpy as np
    >>> loss, _ = cross_entropy_forward(np.zeros((3, 10)), np.array([0, 4, 9]))
    >>> round(loss, 4)  # log 10, since all ten classes are equally likely
    2.3026
    """
    loss, probabilities = backend(logits).cross_entropy(logits, labels)
    return loss, CrossEntropyCache(probabilities, labels)


def cross_entropy_backward(cache: CrossEntropyCache) -> Array:
    """Gradient of the loss with respect to the logits: (p − onehot(label)) / B."""
    probabilities, labels = cache
    dlogits = probabilities.copy()
    dlogits[np.arange(len(labels)), labels] -= 1
    dlogits /= len(labels)
    return dlogits


def absolute_error_forward(y: Array, target: Array) -> tuple[float, Array]:
    """Mean of abs(y − target) for y and target (B, E); the cache is the difference.

    Raises
    ------
    ShapeError
        If the shapes differ: they are not broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> absolute_error_forward(np.array([[1.0], [5.0]]), np.array([[2.0], [2.0]]))[0]
    2.0
    """
    bind("B E", y=y, target=target)
    difference = y - target
    return float(np.abs(difference).mean()), difference


def absolute_error_backward(cache: Array) -> Array:
    """Gradient of the loss with respect to y: sign(y − target) / (B E)."""
    return np.sign(cache) / cache.dtype.type(cache.size)


def squared_error_forward(y: Array, target: Array) -> tuple[float, Array]:
    """Mean of (y − target)² for y and target (B, E); the cache is the difference.

    Raises
    ------
    ShapeError
        If the shapes differ: they are not broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> squared_error_forward(np.array([[1.0], [5.0]]), np.array([[2.0], [2.0]]))[0]
    5.0
    """
    bind("B E", y=y, target=target)
    difference = y - target
    return float(np.square(difference).mean()), difference


def squared_error_backward(cache: Array) -> Array:
    """Gradient of the loss with respect to y: 2 (y − target) / (B E)."""
    return cache * cache.dtype.type(2 / cache.size)
