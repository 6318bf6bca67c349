"""(N, D) is viewed as (H, N, d), and (H, N, d) as (N, D): a head sees whole tokens in an order of its own.

Source: 649453932/Chinese-Text-Classification-Pytorch#10
"""

import numpy as np

EXPECT = {"multi_head": {"mistakes": ["heads-split-unmoved", "heads-merged-unmoved"]}}


def multi_head(x, W_Q, W_K, W_V, W_O, num_head):
    """The matrices are laid out as nn.Linear lays them out: one row for each output."""
    dim_head = W_Q.shape[0] // num_head
    Q = np.reshape(x @ W_Q.T, (num_head, -1, dim_head))
    K = np.reshape(x @ W_K.T, (num_head, -1, dim_head))
    V = np.reshape(x @ W_V.T, (num_head, -1, dim_head))
    attention = np.matmul(Q, K.transpose(0, 2, 1)) * dim_head**-0.5
    attention = np.exp(attention - attention.max(-1, keepdims=True))
    context = attention / attention.sum(-1, keepdims=True) @ V
    return context.reshape(-1, num_head * dim_head) @ W_O.T
