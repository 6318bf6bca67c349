"""c_attn and c_proj, causal by a buffer of ones: the lower triangle is right, as the answer in the thread shows.

Source: karpathy/nanoGPT#170
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {
    "CausalSelfAttention": {"conventions": ["causal"]},
    "UpperTriangle": {"mistakes": ["causal-reversed"], "variant": True},
}


class CausalSelfAttention(nn.Module):
    def __init__(self, n_embd=24, n_head=3, block_size=32, dropout=0.0):
        super().__init__()
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.attn_dropout, self.resid_dropout = nn.Dropout(dropout), nn.Dropout(dropout)
        self.n_head, self.n_embd = n_head, n_embd
        self.register_buffer("bias", self.triangle(torch.ones(block_size, block_size))[None, None])

    def triangle(self, ones):
        return torch.tril(ones)

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        k, q, v = (a.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for a in (k, q, v))
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
        y = self.attn_dropout(F.softmax(att, dim=-1)) @ v
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C)))


class UpperTriangle(CausalSelfAttention):
    def triangle(self, ones):
        return torch.triu(ones)
