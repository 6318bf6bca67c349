"""key_layer(x) is computed with the queries' layer: the keys' own weights have no influence.

Source: neetcode-gh/leetcode#5169
"""

import torch
from torch import nn

EXPECT = {
    "SingleHeadAttention": {"conventions": ["causal"]},
    "Reused": {"mistakes": ["weights-reused"], "variant": True},
}


class SingleHeadAttention(nn.Module):
    def __init__(self, embedding_dim: int = 10, attention_dim: int = 6):
        super().__init__()
        self.key_gen = nn.Linear(embedding_dim, attention_dim, bias=False)
        self.query_gen = nn.Linear(embedding_dim, attention_dim, bias=False)
        self.value_gen = nn.Linear(embedding_dim, attention_dim, bias=False)

    def keys(self, embedded):
        return self.key_gen(embedded)

    def forward(self, embedded):
        k, q, v = self.keys(embedded), self.query_gen(embedded), self.value_gen(embedded)
        scores = q @ torch.transpose(k, 1, 2) / k.shape[-1] ** 0.5
        T = k.shape[1]
        scores = scores.masked_fill(torch.tril(torch.ones(T, T)) == 0, float("-inf"))
        return nn.functional.softmax(scores, dim=2) @ v


class Reused(SingleHeadAttention):
    def keys(self, embedded):
        return self.query_gen(embedded)
