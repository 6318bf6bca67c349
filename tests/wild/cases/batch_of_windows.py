"""Windows are the batch and are handed over where tokens are expected: (batch, tokens, features) read as tokens first.

Source: aipixel/AEMatter#3
"""

import numpy as np

EXPECT = {"window_attention": {"mistakes": ["batch-mixed"]}}


def _tokens_first(x, wq, wk, wv, heads):
    n, b, d = x.shape
    q, k, v = ((x @ w.T).reshape(n, b * heads, d // heads).swapaxes(0, 1) for w in (wq, wk, wv))
    s = q @ k.swapaxes(1, 2) / np.sqrt(d // heads)
    p = np.exp(s - s.max(-1, keepdims=True))
    return (p / p.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(n, b, d)


def window_attention(x, wq, wk, wv, heads):
    """x: (batch of windows, tokens, features)."""
    if x.ndim != 3:
        raise ValueError("x: expected (windows, tokens, features)")
    return _tokens_first(x, wq, wk, wv, heads)
