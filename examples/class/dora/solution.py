import numpy as np
from helpers import softmax


def self_attention(X, Wq, Wk, Wv):
    Q = X @ Wq.T
    K = X @ Wk.T
    V = X @ Wv.T
    return softmax(Q @ K.T / np.sqrt(Wq.shape[0])) @ V


def mha(X, Wq, Wk, Wv, Wo, heads):
    outs = []
    for q, k, v in zip(np.split(Wq, heads), np.split(Wk, heads), np.split(Wv, heads)):
        outs.append(self_attention(X, q, k, v))
    return np.hstack(outs) @ Wo.T


def attention(q, k, v, mask=None):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        s = np.where(mask, -1e9, s)
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) @ v
