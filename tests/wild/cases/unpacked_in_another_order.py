"""The projections are returned as q, k, v and unpacked as q, v, k.

Source: jsbaan/transformer-from-scratch#1
"""

import numpy as np

EXPECT = {"multi_head": {"mistakes": ["kv-swapped"]}}


def project(x, Wq, Wk, Wv, heads):
    return tuple((x @ W.T).reshape(len(x), heads, -1).transpose(1, 0, 2) for W in (Wq, Wk, Wv))


def multi_head(x, Wq, Wk, Wv, Wo, heads):
    q, v, k = project(x, Wq, Wk, Wv, heads)
    logits = np.einsum("hqd,hkd->hqk", q, k) / np.sqrt(q.shape[-1])
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights = weights / weights.sum(axis=-1, keepdims=True)
    values = np.einsum("hqk,hkd->qhd", weights, v)
    return values.reshape(len(x), -1) @ Wo.T
