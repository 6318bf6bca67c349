"""A kernel that counts keys to the left is handed the whole window's size: a query sees one key too many.

Source: zml/zml#763
"""

import numpy as np

EXPECT = {"flash_attention": {"mistakes": ["window-off-by-one"]}, "flash_attention_corrected": {}}


def _kernel(q, k, v, left):
    s = np.einsum("...qd,...kd->...qk", q, k) / np.sqrt(q.shape[-1])
    row, column = np.indices(s.shape[-2:])
    s = np.where((column <= row) & (column >= row - left), s, -np.inf)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.einsum("...qk,...kd->...qd", p / p.sum(axis=-1, keepdims=True), v)


def flash_attention(q, k, v, sliding_window):
    """Causal sliding windows of sliding_window keys, a query's own key among them."""
    return _kernel(q, k, v, sliding_window)


def flash_attention_corrected(q, k, v, sliding_window):
    """Causal sliding windows of sliding_window keys, a query's own key among them."""
    return _kernel(q, k, v, sliding_window - 1)
