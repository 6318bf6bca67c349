"""dim ** −0.5 where dim_head ** −0.5 is meant, in a block whose heads together are wider than the tokens.

Source: lucidrains/vit-pytorch#65
"""

import torch
from torch import nn

EXPECT = {"Attention": {"mistakes": ["scale-model-width"]}, "Corrected": {}}


class Attention(nn.Module):
    def __init__(self, dim=20, heads=4, dim_head=8):
        super().__init__()
        inner_dim = dim_head * heads
        self.heads = heads
        self.scale = dim**-0.5
        self.to_qkv = nn.Linear(dim, inner_dim * 3, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner_dim, dim), nn.Dropout(0.0))

    def forward(self, x):
        b, n, _ = x.shape
        qkv = self.to_qkv(x).chunk(3, dim=-1)
        q, k, v = (t.view(b, n, self.heads, -1).transpose(1, 2) for t in qkv)
        dots = torch.einsum("bhid,bhjd->bhij", q, k) * self.scale
        out = torch.einsum("bhij,bhjd->bhid", dots.softmax(dim=-1), v)
        return self.to_out(out.transpose(1, 2).reshape(b, n, -1))


class Corrected(Attention):
    def __init__(self, dim=20, heads=4, dim_head=8):
        super().__init__(dim, heads, dim_head)
        self.scale = dim_head**-0.5
