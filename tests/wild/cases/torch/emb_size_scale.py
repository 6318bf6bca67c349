"""Interleaved fused matrix (heads, width, 3), and the root of emb_size as the scale.

Source: FrancescoSaverioZuppichini/ViT#1
"""

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {"MultiHeadAttention": {"mistakes": ["scale-model-width"]}}


class MultiHeadAttention(nn.Module):
    def __init__(self, emb_size: int = 24, num_heads: int = 3, dropout: float = 0.0):
        super().__init__()
        self.emb_size, self.num_heads = emb_size, num_heads
        self.queries, self.keys, self.values = (nn.Linear(emb_size, emb_size) for _ in range(3))
        self.att_drop = nn.Dropout(dropout)
        self.projection = nn.Linear(emb_size, emb_size)

    def split(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, x, mask=None):
        queries, keys, values = self.split(self.queries(x)), self.split(self.keys(x)), self.split(self.values(x))
        energy = torch.einsum("bhqd, bhkd -> bhqk", queries, keys)
        if mask is not None:
            energy = energy.masked_fill(~mask, torch.finfo(energy.dtype).min)
        att = self.att_drop(F.softmax(energy / self.emb_size ** (1 / 2), dim=-1))
        out = torch.einsum("bhal, bhlv -> bhav ", att, values)
        return self.projection(out.transpose(1, 2).flatten(2))
