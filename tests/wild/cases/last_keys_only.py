"""Sliding windows: a query sees its own key and the window − 1 before it; and one too many.

Source: ml-explore/mlx-lm#390
"""

import numpy as np

EXPECT = {
    "sliding_window_attention": {},
    "sliding_window_attention_before": {"mistakes": ["window-off-by-one"]},
}


def _attend(q, k, v, see):
    s = np.where(see, np.einsum("...qd,...kd->...qk", q, k) / np.sqrt(q.shape[-1]), -np.inf)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.einsum("...qk,...kd->...qd", p / p.sum(axis=-1, keepdims=True), v)


def sliding_window_attention(q, k, v, window_size):
    """Causal; window_size keys in all: a query's own and the window_size - 1 before it."""
    offset = np.arange(q.shape[-2])[:, None] - np.arange(k.shape[-2])
    return _attend(q, k, v, (offset >= 0) & (offset < window_size))


def sliding_window_attention_before(q, k, v, window_size):
    """Causal; window_size keys in all: a query's own and the window_size - 1 before it."""
    offset = np.arange(q.shape[-2])[:, None] - np.arange(k.shape[-2])
    return _attend(q, k, v, (offset >= 0) & (offset <= window_size))
