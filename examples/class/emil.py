import numpy as np

def self_attention(X, Wq, Wk, Wv):
    Q, K, V = X @ Wq.T, X @ Wk.T, X @ Wv.T
    S = Q @ K.T / np.sqrt(Q.shape[1])
    i = 0
    while i < len(S):
        S[i] = np.exp(S[i]) / np.exp(S[i]).sum()
    return S @ V

def multi_head_attention(X, Wq, Wk, Wv, Wo, heads):
    Q, K, V = X @ Wq.T, X @ Wk.T, X @ Wv.T
    n = len(X)
    Q, K, V = (a.reshape(heads, n, -1) for a in (Q, K, V))
    S = Q @ K.transpose(0, 2, 1) / np.sqrt(Q.shape[-1])
    P = np.exp(S - S.max(-1, keepdims=True))
    P /= P.sum(-1, keepdims=True)
    return (P @ V).transpose(1, 0, 2).reshape(n, -1) @ Wo.T
