"""V times the attention map where V times its transpose was meant: output n takes what others give to it.

Source: heykeetae/Self-Attention-GAN#11
"""

import numpy as np

EXPECT = {
    "self_attention": {"mistakes": ["mix-transposed"]},
    "self_attention_corrected": {"conventions": ["columns"]},
}


def _parts(X, Wq, Wk, Wv):
    proj_query, proj_key, proj_value = Wq @ X, Wk @ X, Wv @ X
    energy = proj_query.T @ proj_key / np.sqrt(proj_key.shape[0])
    attention = np.exp(energy - energy.max(axis=-1, keepdims=True))
    return attention / attention.sum(axis=-1, keepdims=True), proj_value


def self_attention(X, Wq, Wk, Wv):
    """X: (channels, pixels), a pixel in each column."""
    attention, proj_value = _parts(X, Wq, Wk, Wv)
    return proj_value @ attention


def self_attention_corrected(X, Wq, Wk, Wv):
    """X: (channels, pixels), a pixel in each column."""
    attention, proj_value = _parts(X, Wq, Wk, Wv)
    return proj_value @ attention.T
