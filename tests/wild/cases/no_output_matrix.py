"""Multi-head attention without a matrix at the end: nothing is missing, for none is given.

Source: Kyubyong/transformer#117
"""

import numpy as np

EXPECT = {"multihead_attention": {"conventions": ["in-out"]}}


def multihead_attention(queries, W_query, W_key, W_value, num_heads=4):
    """queries: (N, T, C); matrices (C, C), applied from the right."""
    Q_, K_, V_ = (
        np.concatenate(np.split(queries @ W, num_heads, axis=2), axis=0) for W in (W_query, W_key, W_value)
    )  # (h*N, T, C/h)
    outputs = np.matmul(Q_, np.transpose(K_, (0, 2, 1))) / K_.shape[-1] ** 0.5
    outputs = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    outputs = np.matmul(outputs / outputs.sum(axis=-1, keepdims=True), V_)
    return np.concatenate(np.split(outputs, num_heads, axis=0), axis=2)
