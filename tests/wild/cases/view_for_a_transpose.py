"""(batch, tokens, features) is viewed as (tokens, batch, features) for a layer that wants tokens first.

Source: rish-16/tokenlearner-pytorch#1
"""

import numpy as np

EXPECT = {"fuse": {"mistakes": ["batch-mixed"]}, "fuse_transposed": {}}


def _tokens_first(x, wq, wk, wv):
    q, k, v = (np.einsum("nbd,ed->bne", x, w) for w in (wq, wk, wv))
    s = np.einsum("bne,bme->bnm", q, k) / np.sqrt(q.shape[-1])
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.einsum("bnm,bme->nbe", p / p.sum(axis=-1, keepdims=True), v)


def fuse(y, wq, wk, wv):
    """y: (batch, tokens, features)."""
    b, n, c = y.shape
    return _tokens_first(y.reshape(n, b, c), wq, wk, wv).reshape(b, n, -1)


def fuse_transposed(y, wq, wk, wv):
    """y: (batch, tokens, features)."""
    return _tokens_first(y.swapaxes(0, 1), wq, wk, wv).swapaxes(0, 1)
