"""softmax(2), right for three axes, goes over the queries where there are four.

Source: FudanNLP/fastNLP#254
"""

import math

import torch
from torch import nn

EXPECT = {"DotAttention": {"mistakes": ["softmax-axis"]}}


class DotAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.softmax = nn.Softmax(dim=2)

    def forward(self, Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor):
        """Q, K, V: [batch, heads, seq_len, size]."""
        output = torch.matmul(Q, K.transpose(-1, -2)) / math.sqrt(K.size(-1))
        return torch.matmul(self.softmax(output), V)
