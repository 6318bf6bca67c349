"""Layers whose heads of queries share heads of keys, in the forms in use, and with mistakes in them."""

import torch
from torch import nn


class Grouped(nn.Module):
    """Two heads of keys and values for four of queries."""

    def __init__(self, dim=24, heads=4, kv_heads=2):
        super().__init__()
        self.h, self.g, self.d = heads, kv_heads, dim // heads
        self.q_proj = nn.Linear(dim, heads * self.d, bias=False)
        self.k_proj, self.v_proj = (nn.Linear(dim, kv_heads * self.d, bias=False) for _ in range(2))
        self.o_proj = nn.Linear(heads * self.d, dim, bias=False)

    def projected(self, x):
        split = ((self.q_proj, self.h), (self.k_proj, self.g), (self.v_proj, self.g))
        return [layer(x).unflatten(-1, (heads, self.d)) for layer, heads in split]


class FiveAxes(Grouped):
    """Logits (batch, key heads, queries of each, tokens, tokens), to which a mask of pairs is added."""

    def forward(self, x, mask=None):
        q, k, v = self.projected(x)
        q = q.unflatten(2, (self.g, self.h // self.g))
        logits = torch.einsum("bngrd,bmgd->bgrnm", q, k) * self.d**-0.5
        if mask is not None:
            logits = logits + mask
        return self.o_proj(torch.einsum("bgrnm,bmgd->bngrd", logits.softmax(-1), v).flatten(2))


class TurnedByHead(Grouped):
    """Angles are looked up along the axis that has become that of the heads."""

    def turned(self, x):
        angles = torch.outer(torch.arange(x.shape[1]), 10000.0 ** (-torch.arange(0, self.d, 2) / self.d))
        cos, sin = (f(angles).to(x.dtype)[:, None] for f in (torch.cos, torch.sin))
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

    def forward(self, x):
        q, k, v = (a.transpose(1, 2) for a in self.projected(x))
        k, v = (a.repeat_interleave(self.h // self.g, dim=1) for a in (self.turned(k), v))
        y = nn.functional.scaled_dot_product_attention(self.turned(q), k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).flatten(2))
