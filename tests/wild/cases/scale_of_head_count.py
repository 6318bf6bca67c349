"""A CLIP tutorial divides by the root of the number of heads, where its comment says the root of the head width.

Source: tenstorrent/tt-metal#56789
"""

import numpy as np

EXPECT = {"multi_head_attention": {"mistakes": ["scale-heads"]}}


def multi_head_attention(X, Wq, Wk, Wv, Wo, num_heads):
    n, width = X.shape
    d = width // num_heads
    q, k, v = ((X @ W.T).reshape(n, num_heads, d).transpose(1, 0, 2) for W in (Wq, Wk, Wv))
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(num_heads)  # 1 / sqrt(head_dim)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    heads = e / e.sum(-1, keepdims=True) @ v
    return heads.transpose(1, 0, 2).reshape(n, width) @ Wo.T
