"""Grouped queries with wq, wk, wv, wo and an expand; and with repeat, which tiles the key heads.

Source: SHI-Labs/NATTEN#92
"""

import torch
from torch import nn

EXPECT = {"Attention": {}, "Tiled": {"mistakes": ["groups-tiled"], "variant": True}}


class Attention(nn.Module):
    def __init__(self, dim=24, n_heads=4, n_kv_heads=2):
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = n_heads, n_kv_heads, dim // n_heads
        self.wq = nn.Linear(dim, n_heads * self.head_dim, bias=False)
        self.wk = nn.Linear(dim, n_kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(dim, n_kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(n_heads * self.head_dim, dim, bias=False)

    def repeat_kv(self, x):
        return x.repeat_interleave(self.n_heads // self.n_kv_heads, dim=2)

    def forward(self, x, mask=None):
        """mask: added to the scores."""
        bsz, seqlen, _ = x.shape
        xq = self.wq(x).view(bsz, seqlen, self.n_heads, self.head_dim)
        xk = self.repeat_kv(self.wk(x).view(bsz, seqlen, self.n_kv_heads, self.head_dim))
        xv = self.repeat_kv(self.wv(x).view(bsz, seqlen, self.n_kv_heads, self.head_dim))
        scores = torch.matmul(xq.transpose(1, 2), xk.permute(0, 2, 3, 1)) / self.head_dim**0.5
        if mask is not None:
            scores = scores + mask
        output = torch.matmul(scores.softmax(dim=-1), xv.transpose(1, 2))
        return self.wo(output.transpose(1, 2).contiguous().view(bsz, seqlen, -1))


class Tiled(Attention):
    def repeat_kv(self, x):
        return x.repeat(1, 1, self.n_heads // self.n_kv_heads, 1)
