import numpy as np

def self_attention(X, Wq, Wk, Wv):
    """X: tokens in rows"""
    Q = X @ Wq
    K = X @ Wk
    V = X @ Wv
    S = Q @ K.T / np.sqrt(K.shape[-1])
    P = np.exp(S) / np.exp(S).sum(axis=1, keepdims=True)
    return P @ V
