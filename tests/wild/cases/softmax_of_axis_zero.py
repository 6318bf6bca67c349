"""softmax over axis 0, as scipy's examples have it: the batch where there is one. Also: axis 1 of three; fills of −10⁴.

Source: OpenNMT/OpenNMT-py#487
"""

import numpy as np

EXPECT = {
    "first_axis": {"mistakes": ["softmax-over-batch"]},
    "second_axis": {"mistakes": ["softmax-axis"], "variant": True},
    "padded_heads": {"mistakes": ["softmax-over-heads"], "variant": True},
    "padded": {"hazards": ["mask-finite-fill"], "variant": True},
}


def _softmax(s, axis):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def first_axis(X, Wq, Wk, Wv):
    q, k, v = X @ Wq.T, X @ Wk.T, X @ Wv.T
    return _softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]), 0) @ v


def second_axis(X, Wq, Wk, Wv):
    """X (batch, tokens, features)."""
    q, k, v = X @ Wq.T, X @ Wk.T, X @ Wv.T
    return _softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]), 1) @ v


def _padded(q, k, v, causal, key_padding_mask, axis):
    s = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
    if key_padding_mask is not None:
        s = np.where(key_padding_mask[:, None, None, :], s, -10000.0)
    if causal:
        s = np.where(np.triu(np.ones(s.shape[-2:], bool), 1), -np.inf, s)
    return np.einsum("bhts,bshd->bthd", _softmax(s, axis), v)


def padded(q, k, v, causal=False, key_padding_mask=None):
    """q, k, v: (batch, seqlen, nheads, headdim); key_padding_mask (batch, seqlen), True = keep."""
    return _padded(q, k, v, causal, key_padding_mask, -1)


def padded_heads(q, k, v, causal=False, key_padding_mask=None):
    """q, k, v: (batch, seqlen, nheads, headdim); key_padding_mask (batch, seqlen), True = keep."""
    return _padded(q, k, v, causal, key_padding_mask, 1)
