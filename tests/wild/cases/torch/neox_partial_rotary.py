"""A quarter of each head is rotated; queries, keys and values are fused head by head. Right; and without a scale.

Source: https://github.com/EleutherAI/gpt-neox
"""

import torch
from torch import nn

EXPECT = {
    "PartRotated": {"conventions": ["rope", "causal"]},
    "PartRotatedUnscaled": {"mistakes": ["scale-missing"], "variant": True},
    "PartRotatedUnmoved": {"mistakes": ["heads-merged-unmoved"], "variant": True},
}


def turned(a):
    first, second = a.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


class PartRotated(nn.Module):
    """query_key_value holds (heads, 3, width)."""

    def __init__(self, hidden_size=64, num_attention_heads=4, rotary_pct=0.25):
        super().__init__()
        self.heads, self.width = num_attention_heads, hidden_size // num_attention_heads
        self.rotary_ndims = int(self.width * rotary_pct)
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.dense = nn.Linear(hidden_size, hidden_size)

    def rotate(self, a):
        r, steps = self.rotary_ndims, torch.arange(a.shape[-2], dtype=a.dtype)
        speeds = 10000.0 ** (-torch.arange(0, r, 2, dtype=a.dtype) / r)
        angles = torch.cat([steps[:, None] * speeds] * 2, dim=-1)
        part = a[..., :r] * angles.cos() + turned(a[..., :r]) * angles.sin()
        return torch.cat((part, a[..., r:]), dim=-1)

    def scores(self, q, k):
        return q @ k.transpose(-1, -2) / self.width**0.5

    def merged(self, heads):
        return heads.transpose(1, 2)

    def forward(self, hidden_states, attention_mask=None):
        batch, length, size = hidden_states.shape
        fused = self.query_key_value(hidden_states).view(batch, length, self.heads, 3 * self.width)
        q, k, v = (part.transpose(1, 2) for part in fused.split(self.width, dim=-1))
        scores = self.scores(self.rotate(q), self.rotate(k))
        past = torch.ones(length, length, dtype=torch.bool).tril()
        scores = torch.where(past, scores, torch.finfo(scores.dtype).min)
        if attention_mask is not None:
            scores = scores + attention_mask
        return self.dense(self.merged(scores.softmax(dim=-1) @ v).reshape(batch, length, size))


class PartRotatedUnscaled(PartRotated):
    """The same with other logits."""

    def scores(self, q, k):
        return q @ k.transpose(-1, -2)


class PartRotatedUnmoved(PartRotated):
    """The same with heads merged as they are."""

    def merged(self, heads):
        return heads
