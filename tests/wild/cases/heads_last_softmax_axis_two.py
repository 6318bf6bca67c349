"""Weights (batch, i, j, heads): the softmax over axis 2 is right, although the thread takes it for a mistake.

With axis 1, as the thread proposes, the columns of the weights sum to one.

Source: labmlai/annotated_deep_learning_paper_implementations#282
"""

import numpy as np

EXPECT = {
    "unet_attention": {"conventions": ["tokens-before-heads"]},
    "unet_attention_as_proposed": {"mistakes": ["softmax-axis"], "conventions": ["tokens-before-heads"]},
}


def _attend(q, k, v, axis):
    scores = np.einsum("bihd,bjhd->bijh", q, k) * q.shape[-1] ** -0.5
    scores = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return np.einsum("bijh,bjhd->bihd", scores / scores.sum(axis=axis, keepdims=True), v)


def unet_attention(q, k, v):
    """q, k, v: [batch_size, seq, n_heads, d_k]."""
    return _attend(q, k, v, axis=2)


def unet_attention_as_proposed(q, k, v):
    """q, k, v: [batch_size, seq, n_heads, d_k]."""
    return _attend(q, k, v, axis=1)
