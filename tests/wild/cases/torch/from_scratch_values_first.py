"""Values, keys, query: forward takes them in this order; the scale is the root of embed_size.

Source: aladdinpersson/Machine-Learning-Collection#159
"""

import torch
from torch import nn

EXPECT = {"SelfAttention": {"mistakes": ["scale-model-width"]}, "SelfAttentionFixed": {}}


class SelfAttention(nn.Module):
    def __init__(self, embed_size: int = 24, heads: int = 3):
        super().__init__()
        self.embed_size, self.heads, self.head_dim = embed_size, heads, embed_size // heads
        self.values, self.keys, self.queries = (nn.Linear(embed_size, embed_size) for _ in range(3))
        self.fc_out = nn.Linear(embed_size, embed_size)
        self.width = embed_size

    def forward(self, values, keys, query, mask=None):
        N = query.shape[0]
        values, keys, queries = self.values(values), self.keys(keys), self.queries(query)
        values = values.reshape(N, -1, self.heads, self.head_dim)
        keys = keys.reshape(N, -1, self.heads, self.head_dim)
        queries = queries.reshape(N, -1, self.heads, self.head_dim)
        energy = torch.einsum("nqhd,nkhd->nhqk", [queries, keys])
        if mask is not None:
            energy = energy.masked_fill(mask == 0, float("-1e20"))
        attention = torch.softmax(energy / (self.width ** (1 / 2)), dim=3)
        out = torch.einsum("nhql,nlhd->nqhd", [attention, values])
        return self.fc_out(out.reshape(N, -1, self.heads * self.head_dim))


class SelfAttentionFixed(SelfAttention):
    def __init__(self, embed_size: int = 24, heads: int = 3):
        super().__init__(embed_size, heads)
        self.width = self.head_dim
