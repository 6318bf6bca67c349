"""A causal head that divides by the root of the embedding, not of the head.

Source: FareedKhan-dev/train-llm-from-scratch#3
"""

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {
    "Head": {"mistakes": ["scale-model-width"], "conventions": ["causal"]},
    "HeadFixed": {"conventions": ["causal"]},
}


class Head(nn.Module):
    def __init__(self, head_size: int = 6, n_embed: int = 18, context_length: int = 16) -> None:
        super().__init__()
        self.key = nn.Linear(n_embed, head_size, bias=False)
        self.query = nn.Linear(n_embed, head_size, bias=False)
        self.value = nn.Linear(n_embed, head_size, bias=False)
        self.register_buffer("tril", torch.tril(torch.ones(context_length, context_length)))

    def scale(self, x, k):
        return x.shape[-1] ** -0.5

    def forward(self, x):
        B, T, C = x.shape
        k, q, v = self.key(x), self.query(x), self.value(x)
        attn_weights = q @ k.transpose(-2, -1) * self.scale(x, k)
        attn_weights = attn_weights.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        return F.softmax(attn_weights, dim=-1) @ v


class HeadFixed(Head):
    def scale(self, x, k):
        return k.shape[-1] ** -0.5
