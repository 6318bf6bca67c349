"""Queries and keys normalised head by head; and over all heads together, which is another function.

Source: https://github.com/huggingface/pytorch-image-models/blob/main/timm/layers/attention.py
"""

import numpy as np

EXPECT = {
    "attention": {"conventions": ["qk-norm"]},
    "attention_across_heads": {"mistakes": ["qk-norm-across-heads"], "variant": True},
}


def rms(a, axes, eps=1e-6):
    return a / np.sqrt((a**2).mean(axis=axes, keepdims=True) + eps)


def _attend(x, w_q, w_k, w_v, w_o, num_heads, axes):
    n, width = x.shape
    q, k, v = ((x @ w.T).reshape(n, num_heads, -1) for w in (w_q, w_k, w_v))
    q, k = rms(q, axes), rms(k, axes)
    s = np.einsum("nhd,mhd->hnm", q, k) * q.shape[-1] ** -0.5
    p = np.exp(s - s.max(-1, keepdims=True))
    return np.einsum("hnm,mhd->nhd", p / p.sum(-1, keepdims=True), v).reshape(n, width) @ w_o.T


def attention(x, w_q, w_k, w_v, w_o, num_heads):
    """Multi-head attention with QK norm: RMS norm of each head's queries and keys."""
    return _attend(x, w_q, w_k, w_v, w_o, num_heads, -1)


def attention_across_heads(x, w_q, w_k, w_v, w_o, num_heads):
    """Multi-head attention with QK norm: RMS norm of each head's queries and keys."""
    return _attend(x, w_q, w_k, w_v, w_o, num_heads, (-2, -1))
