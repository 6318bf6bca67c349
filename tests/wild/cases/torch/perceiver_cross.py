"""to_q and to_kv, keys and values from a context of another width. Right; and with the context forgotten, wrong.

Source: https://github.com/lucidrains/perceiver-pytorch/blob/main/perceiver_pytorch/perceiver_pytorch.py
"""

import torch
from torch import nn

EXPECT = {"Attention": {}, "ContextForgotten": {"mistakes": ["context-ignored"], "variant": True}}


class Attention(nn.Module):
    def __init__(self, query_dim=20, context_dim=20, heads=4, dim_head=6):
        super().__init__()
        inner_dim = dim_head * heads
        self.scale, self.heads = dim_head**-0.5, heads
        self.to_q = nn.Linear(query_dim, inner_dim, bias=False)
        self.to_kv = nn.Linear(context_dim, inner_dim * 2, bias=False)
        self.to_out = nn.Linear(inner_dim, query_dim)

    def source(self, x, context):
        return x if context is None else context

    def forward(self, x, context=None, mask=None):
        """mask (batch, tokens of the context): True for tokens that exist."""
        q = self.to_q(x)
        k, v = self.to_kv(self.source(x, context)).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        sim = torch.einsum("b h i d, b h j d -> b h i j", q, k) * self.scale
        if mask is not None:
            sim = sim.masked_fill(~mask[:, None, None, :], -torch.finfo(sim.dtype).max)
        out = torch.einsum("b h i j, b h j d -> b h i d", sim.softmax(dim=-1), v)
        return self.to_out(out.transpose(1, 2).flatten(2))


class ContextForgotten(Attention):
    def source(self, x, context):
        return x
