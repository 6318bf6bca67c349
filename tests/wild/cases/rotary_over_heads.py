"""In (batch, tokens, heads, width), the rotary angles are looked up along axis −2: a head's number is its position.

Source: mlfoundations/open_lm#4
"""

import numpy as np

EXPECT = {
    "attention": {"mistakes": ["rope-axis"]},
    "attention_corrected": {"conventions": ["tokens-before-heads"]},
}


def _rotate(x, cos, sin, axis):
    shape = [1] * x.ndim
    shape[axis], shape[-1] = x.shape[axis], x.shape[-1] // 2
    cos, sin = cos[: x.shape[axis]].reshape(shape), sin[: x.shape[axis]].reshape(shape)
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def _attend(q, k, v):
    s = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(-1, keepdims=True))
    return np.einsum("bhqk,bkhd->bqhd", p / p.sum(-1, keepdims=True), v)


def attention(q, k, v, cos, sin):
    """q, k, v: [batch, seq_len, n_heads, head_dim]; cos, sin: [seq_len, head_dim / 2]."""
    return _attend(_rotate(q, cos, sin, -2), _rotate(k, cos, sin, -2), v)


def attention_corrected(q, k, v, cos, sin):
    """q, k, v: [batch, seq_len, n_heads, head_dim]; cos, sin: [seq_len, head_dim / 2]."""
    return _attend(_rotate(q, cos, sin, 1), _rotate(k, cos, sin, 1), v)
