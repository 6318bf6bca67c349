"""q *= depth ** -0.5 is a division by the root, which the thread overlooks; q is an array of its own. Right.

Source: Shen-Lab/TALE#5
"""

import numpy as np

EXPECT = {"protein_attention": {"conventions": ["in-out"]}}


def protein_attention(x, q_dense, k_dense, v_dense, output_dense, num_heads):
    """x (batch, length, hidden); kernels as in Keras, (hidden, hidden), x @ kernel."""
    b, n, hidden = x.shape
    depth = hidden // num_heads
    q, k, v = (np.einsum("bni,io->bno", x, w) for w in (q_dense, k_dense, v_dense))
    q *= depth**-0.5
    q, k, v = (a.reshape(b, n, num_heads, depth).transpose(0, 2, 1, 3) for a in (q, k, v))
    logits = np.matmul(q, k.transpose(0, 1, 3, 2))
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.matmul(weights, v).transpose(0, 2, 1, 3).reshape(b, n, hidden) @ output_dense
