"""In (batch, tokens, heads, width), the rotary angles are looked up along axis −2: a head's number is its position.

Source: mlfoundations/open_lm#4
"""

import numpy as np

EXPECT = {
    "attention": {"mistakes": ["rope-axis"]},
    "attention_corrected": {"conventions": ["rope", "tokens-before-heads"]},
}


def _rotate(x, axis):
    d = x.shape[-1]
    angles = np.arange(x.shape[axis])[:, None] / 10000 ** (np.arange(0, d, 2) / d)
    shape = [1] * x.ndim
    shape[axis], shape[-1] = x.shape[axis], d // 2
    cos, sin = np.cos(angles).reshape(shape), np.sin(angles).reshape(shape)
    a, b = x[..., : d // 2], x[..., d // 2 :]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def _attend(q, k, v):
    s = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(-1, keepdims=True))
    return np.einsum("bhqk,bkhd->bqhd", p / p.sum(-1, keepdims=True), v)


def attention(q, k, v):
    """Rotary attention of q, k, v: [batch, seq_len, n_heads, head_dim]."""
    return _attend(_rotate(q, -2), _rotate(k, -2), v)


def attention_corrected(q, k, v):
    """Rotary attention of q, k, v: [batch, seq_len, n_heads, head_dim]."""
    return _attend(_rotate(q, 1), _rotate(k, 1), v)
