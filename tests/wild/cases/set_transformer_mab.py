"""The multihead attention block of the set transformer divides by the root of dim_V, the width of all heads.

Source: juho-lee/set_transformer#18
"""

import numpy as np

EXPECT = {"mab": {"mistakes": ["scale-model-width"]}, "mab_per_head": {}}


def _block(Q, K, V, num_heads, width):
    heads = [np.concatenate(np.split(a, num_heads, axis=2), axis=0) for a in (Q, K, V)]
    logits = heads[0] @ heads[1].transpose(0, 2, 1) / np.sqrt(width)
    A = np.exp(logits - logits.max(axis=2, keepdims=True))
    A = A / A.sum(axis=2, keepdims=True)
    return np.concatenate(np.split(A @ heads[2], num_heads, axis=0), axis=2)


def mab(X, Wq, Wk, Wv, num_heads):
    """X: (batch, elements, features); Wq, Wk, Wv: (features, features), one row for each output feature."""
    Q, K, V = X @ Wq.T, X @ Wk.T, X @ Wv.T
    return _block(Q, K, V, num_heads, V.shape[2])


def mab_per_head(X, Wq, Wk, Wv, num_heads):
    """X: (batch, elements, features); Wq, Wk, Wv: (features, features), one row for each output feature."""
    Q, K, V = X @ Wq.T, X @ Wk.T, X @ Wv.T
    return _block(Q, K, V, num_heads, V.shape[2] // num_heads)
