"""The functional dropout is in training mode by default, and eval() does not reach it.

Source: Academic-Hammer/SciTSR#16
"""

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {"SelfAttention": {"mistakes": ["dropout-active"]}, "SelfAttentionModule": {}}


class SelfAttention(nn.Module):
    def __init__(self, d_model=24, n_heads=4, dropout=0.1):
        super().__init__()
        self.n_heads, self.p = n_heads, dropout
        self.q_linear, self.k_linear, self.v_linear = (nn.Linear(d_model, d_model) for _ in range(3))
        self.out = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def drop(self, weights):
        return F.dropout(weights, self.p)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.q_linear(x), self.k_linear(x), self.v_linear(x)
        q, k, v = (a.view(b, n, self.n_heads, -1).transpose(1, 2) for a in (q, k, v))
        weights = torch.softmax(q @ k.transpose(2, 3) * q.size(-1) ** -0.5, dim=-1)
        return self.out((self.drop(weights) @ v).transpose(1, 2).reshape(b, n, d))


class SelfAttentionModule(SelfAttention):
    def drop(self, weights):
        return self.dropout(weights)
