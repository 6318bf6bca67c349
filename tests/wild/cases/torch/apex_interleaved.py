"""(tokens, batch, heads · 3 · width), read head by head on purpose: the answer says that the slicing is right.

Source: NVIDIA/apex#1131
"""

import torch
from torch import nn

EXPECT = {"SelfMultiheadAttn": {"conventions": ["tokens-first"]}}


class SelfMultiheadAttn(nn.Module):
    def __init__(self, embed_dim=24, num_heads=3):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dim, embed_dim))
        self.out_proj_weight = nn.Parameter(torch.empty(embed_dim, embed_dim))
        nn.init.xavier_uniform_(self.in_proj_weight), nn.init.xavier_uniform_(self.out_proj_weight)

    def forward(self, query):
        """query: (time, batch, channel)."""
        n, b, c = query.shape
        lin = torch.matmul(query, self.in_proj_weight.t()).view(n, b * self.num_heads, 3, self.head_dim)
        queries, keys, values = lin[:, :, 0], lin[:, :, 1], lin[:, :, 2]
        weights = torch.bmm(queries.transpose(0, 1), keys.permute(1, 2, 0)) * self.head_dim**-0.5
        context = torch.bmm(weights.softmax(dim=-1), values.transpose(0, 1))
        return torch.matmul(context.transpose(0, 1).reshape(n, b, c), self.out_proj_weight.t())
