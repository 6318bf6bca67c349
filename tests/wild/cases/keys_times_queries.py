"""The logits are K Qᵀ in a causal head: the queries are used as keys, and the keys as queries.

Source: keyvank/femtoGPT#30
"""

import numpy as np

EXPECT = {"head": {"mistakes": ["qk-swapped"], "conventions": ["causal"]}}


def head(x, w_k, w_q, w_v):
    """One head of a language model; w_k, w_q, w_v are (in, out)."""
    k, q, v = x @ w_k, x @ w_q, x @ w_v
    kq = k @ q.T / np.sqrt(k.shape[1])
    kq = np.where(np.tril(np.ones((len(x), len(x)))) == 1, kq, -np.inf)
    soft = np.exp(kq - kq.max(axis=1, keepdims=True))
    return soft / soft.sum(axis=1, keepdims=True) @ v
