"""One head of keys and values for all heads of queries, as the answer says: multi-query attention. Right.

Source: lucidrains/MEGABYTE-pytorch#13
"""

import torch
from torch import nn

EXPECT = {"Attention": {}}


class Attention(nn.Module):
    def __init__(self, *, dim=20, dim_head=6, heads=4):
        super().__init__()
        self.scale, self.heads = dim_head**-0.5, heads
        self.to_q = nn.Linear(dim, dim_head * heads, bias=False)
        self.to_kv = nn.Linear(dim, dim_head * 2, bias=False)
        self.to_out = nn.Linear(dim_head * heads, dim, bias=False)

    def forward(self, x):
        b, n, _ = x.shape
        q, (k, v) = self.to_q(x), self.to_kv(x).chunk(2, dim=-1)
        q = q.view(b, n, self.heads, -1).transpose(1, 2) * self.scale
        sim = torch.einsum("b h i d, b j d -> b h i j", q, k)
        out = torch.einsum("b h i j, b j d -> b h i d", sim.softmax(dim=-1), v)
        return self.to_out(out.transpose(1, 2).reshape(b, n, -1))
