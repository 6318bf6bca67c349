"""Splitting into (N, H, d) and moving the head axis is right; the view to (H, N, d) that the thread asks about is not.

Source: hyunwoongko/transformer#15
"""

import numpy as np

EXPECT = {"concat_of_heads": {}, "with_direct_view": {"mistakes": ["heads-split-unmoved"]}}


def _attend(q, k, v):
    score = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    score = np.exp(score - score.max(-1, keepdims=True))
    out = score / score.sum(-1, keepdims=True) @ v
    b, h, n, d = out.shape
    return out.transpose(0, 2, 1, 3).reshape(b, n, h * d)


def concat_of_heads(x, w_q, w_k, w_v, w_concat, n_head):
    """Weights as in nn.Linear, (out, in)."""
    b, n, _ = x.shape
    q, k, v = ((x @ w.T).reshape(b, n, n_head, -1).swapaxes(1, 2) for w in (w_q, w_k, w_v))
    return _attend(q, k, v) @ w_concat.T


def with_direct_view(x, w_q, w_k, w_v, w_concat, n_head):
    """Weights as in nn.Linear, (out, in)."""
    b, n, _ = x.shape
    q, k, v = ((x @ w.T).reshape(b, n_head, n, -1) for w in (w_q, w_k, w_v))
    return _attend(q, k, v) @ w_concat.T
