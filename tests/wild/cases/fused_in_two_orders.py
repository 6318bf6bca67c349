"""A fused matrix read as (heads, 3, width) where its rows are all queries, then all keys, then all values.

Source: awslabs/slapo#46
"""

import numpy as np

EXPECT = {"attention": {"mistakes": ["qkv-interleaved"]}, "attention_contiguous": {}}


def _attend(q, k, v):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(-1, keepdims=True))
    o = p / p.sum(-1, keepdims=True) @ v
    return o.transpose(1, 0, 2).reshape(o.shape[1], -1)


def attention(x, w_qkv, w_out, num_heads):
    """w_qkv (3 · D, D): the queries' rows, then the keys', then the values' (not interleaved by head)."""
    qkv = (x @ w_qkv.T).reshape(len(x), num_heads, 3, -1).transpose(2, 1, 0, 3)
    return _attend(*qkv) @ w_out.T


def attention_contiguous(x, w_qkv, w_out, num_heads):
    """w_qkv (3 · D, D): the queries' rows, then the keys', then the values' (not interleaved by head)."""
    qkv = (x @ w_qkv.T).reshape(len(x), 3, num_heads, -1).transpose(1, 2, 0, 3)
    return _attend(*qkv) @ w_out.T
