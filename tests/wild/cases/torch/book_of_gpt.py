"""A causal layer with a buffer that is only called mask: right; off by one; reversed; and heads merged as they are.

Source: https://github.com/rasbt/LLMs-from-scratch
"""

import torch
from torch import nn

EXPECT = {
    "BookAttention": {"conventions": ["causal"]},
    "BookAttentionSeesNext": {"mistakes": ["causal-off-by-one"], "variant": True},
    "BookAttentionReversed": {"mistakes": ["causal-reversed"], "variant": True},
    "BookAttentionUnmoved": {"mistakes": ["heads-merged-unmoved"], "conventions": ["causal"], "variant": True},
}


class BookAttention(nn.Module):
    """Hidden are the ones of a triangle."""

    def __init__(self, d_in, d_out, context_length, dropout, num_heads, qkv_bias=False):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, d_out // num_heads
        self.W_query, self.W_key, self.W_value = (nn.Linear(d_in, d_out, bias=qkv_bias) for _ in range(3))
        self.out_proj, self.dropout = nn.Linear(d_out, d_out), nn.Dropout(dropout)
        self.register_buffer("mask", self.hidden(torch.ones(context_length, context_length)))

    def hidden(self, ones):
        return torch.triu(ones, diagonal=1)

    def merged(self, heads):
        return heads.transpose(1, 2)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = (
            lin(x).view(batch, length, self.num_heads, self.head_dim).transpose(1, 2)
            for lin in (self.W_query, self.W_key, self.W_value)
        )
        scores = (q @ k.transpose(2, 3)).masked_fill(self.mask.bool()[:length, :length], -torch.inf)
        weights = self.dropout(torch.softmax(scores / self.head_dim**0.5, dim=-1))
        return self.out_proj(self.merged(weights @ v).contiguous().view(batch, length, -1))


class BookAttentionSeesNext(BookAttention):
    """One diagonal too far."""

    def hidden(self, ones):
        return torch.triu(ones, diagonal=2)


class BookAttentionReversed(BookAttention):
    """The other triangle."""

    def hidden(self, ones):
        return torch.tril(ones, diagonal=-1)


class BookAttentionUnmoved(BookAttention):
    """Heads merged as they are."""

    def merged(self, heads):
        return heads
