"""The same signature, and the values' bias is never added.

Source: facebookresearch/dinov3#58
"""

import numpy as np

EXPECT = {"attention": {"mistakes": ["bias-missing"], "variant": True}}


def attention(x, Wq, Wk, Wv, Wo, heads, bq=None, bv=None, bo=None):
    n, _ = x.shape

    def linear(a, W, b):
        return a @ W.T if b is None else a @ W.T + b

    q, k, v = linear(x, Wq, bq), linear(x, Wk, None), linear(x, Wv, None)
    q, k, v = (a.reshape(n, heads, -1).swapaxes(0, 1) for a in (q, k, v))
    s = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(-1, keepdims=True))
    o = p / p.sum(-1, keepdims=True) @ v
    return linear(o.swapaxes(0, 1).reshape(n, -1), Wo, bo)
