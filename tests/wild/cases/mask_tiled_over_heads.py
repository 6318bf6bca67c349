"""Heads are folded into the batch item by item, and the mask is tiled the other way: items see each other's padding.

Source: line/lighthouse#77
"""

import numpy as np

EXPECT = {"attention": {"mistakes": ["mask-of-another-item"]}, "attention_repeated": {}}


def _folded(q, k, v, mask):
    b, h, n, d = q.shape
    s = q.reshape(b * h, n, d) @ k.reshape(b * h, -1, d).transpose(0, 2, 1) / np.sqrt(d)
    s = np.where(mask, s, -np.inf)
    e = np.exp(s - np.maximum(s.max(-1, keepdims=True), -1e300))
    total = e.sum(-1, keepdims=True)
    out = e / np.where(total == 0, 1, total) @ v.reshape(b * h, -1, v.shape[-1])
    return out.reshape(b, h, n, -1)


def attention(q, k, v, mask):
    """q, k, v: (batch, heads, tokens, width); mask (batch, queries, keys), True where a query may look."""
    return _folded(q, k, v, np.tile(mask, (q.shape[1], 1, 1)))


def attention_repeated(q, k, v, mask):
    """q, k, v: (batch, heads, tokens, width); mask (batch, queries, keys), True where a query may look."""
    return _folded(q, k, v, np.repeat(mask, q.shape[1], axis=0))
