"""Cross-attention of latents to a longer array. Right; and with the values taken from the latents' own tokens, wrong.

Source: lucidrains/perceiver-pytorch (perceiver_pytorch/perceiver_pytorch.py)
"""

import numpy as np

EXPECT = {"cross_attention": {}, "cross_attention_of_itself": {"mistakes": ["context-ignored"], "variant": True}}


def _heads(x, context, Wq, Wk, Wv, Wo, heads):
    def split(a):
        return a.reshape(*a.shape[:-1], heads, -1).swapaxes(-2, -3)

    q, k, v = split(x @ Wq.T), split(context @ Wk.T), split(context @ Wv.T)
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(-1, keepdims=True))
    o = (p / p.sum(-1, keepdims=True) @ v).swapaxes(-2, -3)
    return o.reshape(*o.shape[:-2], -1) @ Wo.T


def cross_attention(x, context, Wq, Wk, Wv, Wo, heads):
    """Queries from x (latents, D), keys and values from the context (tokens, D)."""
    return _heads(x, context, Wq, Wk, Wv, Wo, heads)


def cross_attention_of_itself(x, context, Wq, Wk, Wv, Wo, heads):
    """Queries from x (latents, D), keys and values from the context (tokens, D)."""
    return _heads(x, x, Wq, Wk, Wv, Wo, heads)
