"""Keys of (batch, tokens, key heads, width) repeated head by head, and the tiled order that a change had brought in.

Source: apple/axlearn#842
"""

import numpy as np

EXPECT = {
    "grouped_attention": {"conventions": ["tokens-before-heads"]},
    "grouped_attention_tiled": {"mistakes": ["groups-tiled"]},
}


def _attend(q, k, v):
    s = np.einsum("btnh,bsnh->bnts", q, k) * q.shape[-1] ** -0.5
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.einsum("bnts,bsnh->btnh", p / p.sum(axis=-1, keepdims=True), v)


def grouped_attention(query, key, value):
    """query [batch, target_length, num_heads, per_head_dim]; key and value with fewer heads."""
    groups = query.shape[2] // key.shape[2]
    return _attend(query, np.repeat(key, groups, axis=2), np.repeat(value, groups, axis=2))


def grouped_attention_tiled(query, key, value):
    """query [batch, target_length, num_heads, per_head_dim]; key and value with fewer heads."""
    groups = query.shape[2] // key.shape[2]
    return _attend(query, np.tile(key, (1, 1, groups, 1)), np.tile(value, (1, 1, groups, 1)))
