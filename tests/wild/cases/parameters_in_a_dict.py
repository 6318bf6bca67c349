"""Parameters in one dict, in the style of JAX tutorials; matrices stand to the right. Right.

Source: https://github.com/deepmind/dm-haiku/blob/main/haiku/_src/attention.py
"""

import numpy as np

EXPECT = {"attention": {"conventions": ["in-out"]}}


def softmax(x):
    unnormalized = np.exp(x - x.max(axis=-1, keepdims=True))
    return unnormalized / unnormalized.sum(axis=-1, keepdims=True)


def attention(params, x, num_heads):
    """params: w_q, w_k, w_v, w_o, each (d_model, d_model); x (tokens, d_model)."""
    n = x.shape[0]
    query, key, value = ((x @ params[name]).reshape(n, num_heads, -1) for name in ("w_q", "w_k", "w_v"))
    attn_logits = np.einsum("thd,Thd->htT", query, key) / np.sqrt(query.shape[-1])
    attn = np.einsum("htT,Thd->thd", softmax(attn_logits), value)
    return attn.reshape(n, -1) @ params["w_o"]
