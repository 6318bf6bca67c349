"""Softmax cross-entropy: loss = −mean log p[label], p = softmax(logits)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.ops.dispatch import backend
from headwise.shapes import Array, IntArray

__all__ = ["CrossEntropyCache", "cross_entropy_backward", "cross_entropy_forward", "softmax"]


class CrossEntropyCache(NamedTuple):
    """The class probabilities (B, C), and the labels (B,)."""

    probabilities: Array
    labels: IntArray


def softmax(logits: Array) -> Array:
    """Probabilities over the last axis, shifted so that nothing overflows."""
    p: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


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
