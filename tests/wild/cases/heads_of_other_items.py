"""(B·H, T, d), items first, is viewed as (H, B, T, d) on the way out: items and heads are exchanged.

Source: gazelle93/Transformer-Various-Positional-Encoding#1
"""

import numpy as np

EXPECT = {"multi_head": {"mistakes": ["heads-batch-mixed"]}, "multi_head_corrected": {}}


def _heads(x, Wq, Wk, Wv, num_heads):
    batch, tokens, _ = x.shape
    q, k, v = ((x @ W.T).reshape(batch, tokens, num_heads, -1).transpose(0, 2, 1, 3) for W in (Wq, Wk, Wv))
    q, k, v = (a.reshape(batch * num_heads, tokens, -1) for a in (q, k, v))
    s = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True) @ v


def multi_head(x, Wq, Wk, Wv, num_heads):
    """x: (batch, tokens, features)."""
    batch, tokens, _ = x.shape
    out = _heads(x, Wq, Wk, Wv, num_heads).reshape(num_heads, batch, tokens, -1)
    return np.ascontiguousarray(out.transpose(0, 2, 1, 3)).reshape(batch, tokens, -1)


def multi_head_corrected(x, Wq, Wk, Wv, num_heads):
    """x: (batch, tokens, features)."""
    batch, tokens, _ = x.shape
    out = _heads(x, Wq, Wk, Wv, num_heads).reshape(batch, num_heads, tokens, -1)
    return out.transpose(0, 2, 1, 3).reshape(batch, tokens, -1)
