"""out_projection is made and never applied.

Source: sooftware/attentions#1
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {"MultiHeadAttention": {"mistakes": ["output-projection-missing"]}}


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model: int = 24, num_heads: int = 4):
        super().__init__()
        self.d_head, self.num_heads = d_model // num_heads, num_heads
        self.query_proj = nn.Linear(d_model, d_model)
        self.key_proj = nn.Linear(d_model, d_model)
        self.value_proj = nn.Linear(d_model, d_model)
        self.out_projection = nn.Linear(d_model, d_model)

    def forward(self, query, key, value):
        batch_size = query.size(0)
        query = self.query_proj(query).view(batch_size, -1, self.num_heads, self.d_head).transpose(1, 2)
        key = self.key_proj(key).view(batch_size, -1, self.num_heads, self.d_head).transpose(1, 2)
        value = self.value_proj(value).view(batch_size, -1, self.num_heads, self.d_head).transpose(1, 2)
        attn = F.softmax(torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(self.d_head), dim=-1)
        return torch.matmul(attn, value).transpose(1, 2).reshape(batch_size, -1, self.num_heads * self.d_head)
