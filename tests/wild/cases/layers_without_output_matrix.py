"""Heads put next to each other and returned, as in an early edition of the book: W_o is the identity. Right.

Source: d2l-ai/d2l-en#439
"""

import numpy as np

EXPECT = {"MultiHeadAttention": {"conventions": ["in-out"]}}


class MultiHeadAttention:
    """Holds W_q, W_k and W_v, which stand to the right of the inputs."""

    def __init__(self, units=12, num_heads=3, seed=0):
        rng = np.random.default_rng(seed)
        self.num_heads = num_heads
        self.W_q, self.W_k, self.W_v = (rng.normal(size=(units, units)) for _ in range(3))

    def transpose_qkv(self, X):
        X = X.reshape(X.shape[0], X.shape[1], self.num_heads, -1).transpose(0, 2, 1, 3)
        return X.reshape(-1, X.shape[2], X.shape[3])

    def forward(self, X):
        queries, keys, values = (self.transpose_qkv(X @ W) for W in (self.W_q, self.W_k, self.W_v))
        scores = np.matmul(queries, keys.transpose(0, 2, 1)) / np.sqrt(queries.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        output = scores / scores.sum(-1, keepdims=True) @ values
        output = output.reshape(-1, self.num_heads, output.shape[1], output.shape[2]).transpose(0, 2, 1, 3)
        return output.reshape(output.shape[0], output.shape[1], -1)
