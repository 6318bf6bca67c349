"""Queries of one step are lined up with the last keys of a cache; and with the first, as a square triangle has it.

Source: https://github.com/Dao-AILab/flash-attention/issues/517
"""

import torch
from torch import nn

EXPECT = {
    "Cached": {"conventions": ["causal"]},
    "CachedFromTheStart": {"mistakes": ["causal-alignment"], "variant": True},
}


class Cached(nn.Module):
    """Returns its output, and the keys and values so far."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads, self.width = n_heads, d_model // n_heads
        self.qkv, self.o = nn.Linear(d_model, 3 * d_model, bias=False), nn.Linear(d_model, d_model, bias=False)

    def visible(self, queries, keys):
        return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)

    def forward(self, x, kv_cache=None):
        batch, length, size = x.shape
        q, k, v = (a.view(batch, length, self.n_heads, self.width).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        if kv_cache is not None:
            k, v = (torch.cat(pair, dim=2) for pair in zip(kv_cache, (k, v), strict=True))
        scores = (q @ k.mT / self.width**0.5).masked_fill(~self.visible(length, k.shape[2]), float("-inf"))
        mixed = scores.softmax(-1) @ v
        return self.o(mixed.transpose(1, 2).reshape(batch, length, size)), (k, v)


class CachedFromTheStart(Cached):
    """The triangle starts at the first key."""

    def visible(self, queries, keys):
        return torch.ones(queries, keys, dtype=torch.bool).tril()
