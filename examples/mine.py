import numpy as np


def attention(X, Wq, Wk, Wv, heads):
    N, D = X.shape
    q, k, v = X @ Wq, X @ Wk, X @ Wv
    q, k, v = (a.reshape(N, heads, D // heads).transpose(1, 0, 2) for a in (q, k, v))
    logits = q @ k.transpose(0, 2, 1) / np.sqrt(D)
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return (p @ v).transpose(1, 0, 2).reshape(N, D)
