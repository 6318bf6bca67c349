"""(batch, heads, tokens, width) reshaped straight to (batch, tokens, heads · width); qkv is made head by head.

Source: ajhalthor/Transformer-Neural-Network#4
"""

import math

import torch
from torch import nn

EXPECT = {"MultiHeadAttention": {"mistakes": ["heads-merged-unmoved"]}, "MultiHeadAttentionPermuted": {}}


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model=24, num_heads=4):
        super().__init__()
        self.d_model, self.num_heads, self.head_dim = d_model, num_heads, d_model // num_heads
        self.qkv_layer = nn.Linear(d_model, 3 * d_model)
        self.linear_layer = nn.Linear(d_model, d_model)

    def merge(self, values):
        return values

    def forward(self, x, mask=None):
        batch_size, sequence_length, _ = x.size()
        qkv = self.qkv_layer(x).reshape(batch_size, sequence_length, self.num_heads, 3 * self.head_dim)
        q, k, v = qkv.permute(0, 2, 1, 3).chunk(3, dim=-1)
        scaled = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(self.head_dim)
        if mask is not None:
            scaled = scaled + mask
        values = torch.matmul(torch.softmax(scaled, dim=-1), v)
        values = self.merge(values).reshape(batch_size, sequence_length, self.num_heads * self.head_dim)
        return self.linear_layer(values)


class MultiHeadAttentionPermuted(MultiHeadAttention):
    def merge(self, values):
        return values.permute(0, 2, 1, 3)
