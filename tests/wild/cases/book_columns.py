"""The notebook of Understanding Deep Learning: tokens are columns, omega and beta for queries, keys and values. Right.

Source: https://github.com/udlbook/udlbook (Notebooks/Chap12/12_1_Self_Attention.ipynb)
"""

import numpy as np

EXPECT = {
    "self_attention": {"conventions": ["columns"]},
    "scaled_dot_product_self_attention": {"conventions": ["columns"]},
    "multihead_scaled_self_attention": {"conventions": ["columns"]},
}


def softmax_cols(data_in):
    exp_values = np.exp(data_in)
    return exp_values / np.sum(exp_values, axis=0)


def scaled_dot_product_self_attention(X, omega_v, omega_q, omega_k, beta_v, beta_q, beta_k):
    """X: D x N, one column for each input."""
    V = beta_v + omega_v @ X
    Q = beta_q + omega_q @ X
    K = beta_k + omega_k @ X
    return V @ softmax_cols(K.T @ Q / np.sqrt(Q.shape[0]))


def self_attention(X, omega_q, omega_k, omega_v, beta_q, beta_k, beta_v):
    """X: D x N, one column for each input."""
    Q, K, V = omega_q @ X + beta_q, omega_k @ X + beta_k, omega_v @ X + beta_v
    S = K.T @ Q / np.sqrt(len(Q))
    S = np.exp(S - S.max(axis=0))
    return V @ (S / S.sum(axis=0))


def multihead_scaled_self_attention(X, omega_v1, omega_q1, omega_k1, omega_v2, omega_q2, omega_k2, omega_c):
    """X: D x N, one column for each input; two heads."""
    heads = []
    for omega_v, omega_q, omega_k in ((omega_v1, omega_q1, omega_k1), (omega_v2, omega_q2, omega_k2)):
        V, Q, K = omega_v @ X, omega_q @ X, omega_k @ X
        S = K.T @ Q / np.sqrt(Q.shape[0])
        S = np.exp(S - S.max(axis=0))
        heads.append(V @ (S / S.sum(axis=0)))
    return omega_c @ np.concatenate(heads, axis=0)
