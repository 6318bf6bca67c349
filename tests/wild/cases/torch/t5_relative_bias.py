"""A learned bias for each distance and head, and no scale: the initialisation takes its place. The mask is added.

Source: https://github.com/google-research/text-to-text-transfer-transformer
"""

import torch
from torch import nn

EXPECT = {
    "RelativeBias": {"conventions": ["position", "unscaled"]},
    "RelativeBiasScaled": {"conventions": ["position"], "variant": True},
    "RelativeBiasOverHeads": {"mistakes": ["softmax-over-heads"], "conventions": ["unscaled"], "variant": True},
}


class RelativeBias(nn.Module):
    """Buckets of one token each."""

    scale = 1.0
    axis = -1

    def __init__(self, d_model=24, d_kv=4, num_heads=6, relative_attention_num_buckets=32):
        super().__init__()
        self.heads, self.d_kv, self.buckets = num_heads, d_kv, relative_attention_num_buckets
        self.q, self.k, self.v = (nn.Linear(d_model, num_heads * d_kv, bias=False) for _ in range(3))
        self.o = nn.Linear(num_heads * d_kv, d_model, bias=False)
        self.relative_attention_bias = nn.Embedding(self.buckets, num_heads)

    def forward(self, hidden_states, mask=None):
        batch, length, _ = hidden_states.shape
        q, k, v = (
            lin(hidden_states).view(batch, length, self.heads, self.d_kv).transpose(1, 2)
            for lin in (self.q, self.k, self.v)
        )
        place = torch.arange(length)
        bucket = (place[None] - place[:, None]).clamp(-self.buckets // 2, self.buckets // 2 - 1) + self.buckets // 2
        bias = self.relative_attention_bias(bucket).permute(2, 0, 1)[None]
        if mask is not None:
            bias = bias + mask
        scores = q @ k.transpose(-1, -2) * self.scale + bias
        mixed = nn.functional.softmax(scores, dim=self.axis) @ v
        return self.o(mixed.transpose(1, 2).reshape(batch, length, -1))


class RelativeBiasScaled(RelativeBias):
    """With a scale."""

    @property
    def scale(self):
        return self.d_kv**-0.5


class RelativeBiasOverHeads(RelativeBias):
    """Normalised over the heads."""

    axis = 1
