"""Conv1D matrices (in, out) for queries, keys and values together, keys split transposed, a triangle of ones. Right.

Source: huggingface/pytorch-openai-transformer-lm#2
"""

import math

import torch
from torch import nn

EXPECT = {"Attention": {"conventions": ["causal"]}}


class Conv1D(nn.Module):
    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.w = nn.Parameter(torch.randn(nx, nf) * 0.02)
        self.b = nn.Parameter(torch.zeros(nf))

    def forward(self, x):
        return torch.addmm(self.b, x.reshape(-1, x.size(-1)), self.w).view(*x.shape[:-1], self.nf)


class Attention(nn.Module):
    def __init__(self, nx=24, n_ctx=32, n_head=3):
        super().__init__()
        self.register_buffer("b", torch.tril(torch.ones(n_ctx, n_ctx)).view(1, 1, n_ctx, n_ctx))
        self.n_head, self.split_size = n_head, nx
        self.c_attn, self.c_proj = Conv1D(nx * 3, nx), Conv1D(nx, nx)

    def split_heads(self, x, k=False):
        x = x.view(*x.size()[:-1], self.n_head, x.size(-1) // self.n_head)
        return x.permute(0, 2, 3, 1) if k else x.permute(0, 2, 1, 3)

    def forward(self, x):
        query, key, value = self.c_attn(x).split(self.split_size, dim=2)
        query, key, value = self.split_heads(query), self.split_heads(key, k=True), self.split_heads(value)
        w = torch.matmul(query, key) / math.sqrt(value.size(-1))
        b = self.b[:, :, : w.size(-2), : w.size(-1)]
        w = nn.functional.softmax(w * b + -1e9 * (1 - b), dim=-1)
        a = torch.matmul(w, value).permute(0, 2, 1, 3).contiguous()
        return self.c_proj(a.view(*a.size()[:-2], -1))
