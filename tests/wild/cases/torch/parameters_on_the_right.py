"""nn.Parameter matrices (in, out), as the book's first class writes them. Right; and without the scale, wrong.

Source: https://github.com/rasbt/LLMs-from-scratch/blob/main/ch03/01_main-chapter-code/ch03.ipynb
"""

import torch
from torch import nn

EXPECT = {"SelfAttention_v1": {"conventions": ["in-out"]}, "Unscaled": {"mistakes": ["scale-missing"], "variant": True}}


class SelfAttention_v1(nn.Module):
    def __init__(self, d_in=7, d_out=5):
        super().__init__()
        self.W_query = nn.Parameter(torch.rand(d_in, d_out))
        self.W_key = nn.Parameter(torch.rand(d_in, d_out))
        self.W_value = nn.Parameter(torch.rand(d_in, d_out))

    def forward(self, x):
        keys = x @ self.W_key
        queries = x @ self.W_query
        values = x @ self.W_value
        attn_scores = queries @ keys.T
        attn_weights = torch.softmax(attn_scores / keys.shape[-1] ** 0.5, dim=-1)
        return attn_weights @ values


class Unscaled(SelfAttention_v1):
    def forward(self, x):
        keys, queries, values = x @ self.W_key, x @ self.W_query, x @ self.W_value
        return torch.softmax(queries @ keys.T, dim=-1) @ values
