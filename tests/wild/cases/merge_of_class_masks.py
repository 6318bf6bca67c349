"""(batch, heads, classes, width) goes to (batch, classes, heads · width) by a reshape alone.

Source: xieenze/Trans2Seg#4
"""

import numpy as np

EXPECT = {"attention": {"mistakes": ["heads-merged-unmoved"]}}


def attention(x, wq, wk, wv, wproj, num_heads):
    B, N, C = x.shape

    def heads(w):
        return (x @ w.T).reshape(B, N, num_heads, C // num_heads).transpose(0, 2, 1, 3)

    q, k, v = heads(wq), heads(wk), heads(wv)
    attn = q @ k.transpose(0, 1, 3, 2) * (C // num_heads) ** -0.5
    attn = np.exp(attn - attn.max(axis=-1, keepdims=True))
    attn = attn / attn.sum(axis=-1, keepdims=True)
    return (attn @ v).reshape(B, N, C) @ wproj.T
