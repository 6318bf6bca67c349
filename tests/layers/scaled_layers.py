"""Attention layers of torch that have a scale of their own, or none by design; and the same with a mistake put in."""

import torch
from torch import nn


class OwnScale(nn.Module):
    """The scale is an entry of its configuration, and need not be 1/√d."""

    def __init__(self, d_model, n_heads, n_kv_heads, attention_multiplier=0.3):
        super().__init__()
        self.n_heads, self.n_kv_heads, self.width = n_heads, n_kv_heads, d_model // n_heads
        self.scaling = attention_multiplier
        self.q_proj, self.o_proj = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.k_proj, self.v_proj = (nn.Linear(d_model, n_kv_heads * self.width) for _ in range(2))

    def grouped(self, a):
        return a.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1)

    def logits(self, q, k):
        return q @ k.mT * self.scaling

    def forward(self, x):
        q, k, v = (
            f(x).unflatten(-1, (-1, self.width)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj)
        )
        p = self.logits(q, self.grouped(k)).softmax(-1)
        return self.o_proj((p @ self.grouped(v)).transpose(1, 2).flatten(2))


class OwnScaleTiled(OwnScale):
    def grouped(self, a):
        return a.repeat(1, self.n_heads // self.n_kv_heads, 1, 1)


class OwnScaleTwice(OwnScale):
    def logits(self, q, k):
        return q @ k.mT * self.scaling * self.scaling


class LiteralScale(OwnScale):
    """A scale of one that no configuration gives."""

    def __init__(self, d_model, n_heads, n_kv_heads):
        super().__init__(d_model, n_heads, n_kv_heads)
        self.scaling = 1.0


class Buckets(OwnScale):
    """A bias for each bucket of distances and no scale, as in relatives of T5."""

    def __init__(self, d_model, n_heads, n_kv_heads, relative_attention_num_buckets=64):
        super().__init__(d_model, n_heads, n_kv_heads)
        self.relative_attention_bias = nn.Embedding(relative_attention_num_buckets, n_heads)

    def logits(self, q, k):
        n = torch.arange(q.shape[2])
        buckets = (n[:, None] - n + 32).clamp(0, 63)
        return q @ k.mT + self.relative_attention_bias(buckets).movedim(-1, 0)


class BucketsTiled(Buckets, OwnScaleTiled):
    pass


class Temperature(nn.Module):
    """No projections: who makes it gives the root of the width (Vaswani et al., 2017, in public code)."""

    def __init__(self, temperature, attn_dropout=0.1):
        super().__init__()
        self.temperature = temperature
        self.dropout = nn.Dropout(attn_dropout)

    def logits(self, q, k):
        return q / self.temperature @ k.mT

    def forward(self, q, k, v, mask=None):
        s = self.logits(q, k)
        if mask is not None:
            s = s.masked_fill(mask == 0, -1e9)
        p = self.dropout(s.softmax(-1))
        return p @ v, p


class TemperatureUnused(Temperature):
    def logits(self, q, k):
        return q @ k.mT


class TemperatureTwice(Temperature):
    def logits(self, q, k):
        return (q / self.temperature) @ (k / self.temperature).mT


class TemperatureMultiplies(Temperature):
    def logits(self, q, k):
        return q * self.temperature @ k.mT


class StoredWidth(nn.Module):
    def __init__(self, d_k):
        super().__init__()
        self.scale = self.made_of(d_k)

    def made_of(self, width):
        return width**-0.5

    def forward(self, q, k, v):
        return (q @ k.mT * self.scale).softmax(-1) @ v


class StoredWidthWithoutRoot(StoredWidth):
    def made_of(self, width):
        return 1 / width


class StoredWidthInverted(StoredWidth):
    def made_of(self, width):
        return width**0.5


class Divisor(nn.Module):
    """A scale that its constructor takes, and that divides."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, q, k, v):
        return (q @ k.mT / self.scale).softmax(-1) @ v


class GivenScale(nn.Module):
    """Who calls it passes the scale."""

    def forward(self, q, k, v, scale=None):
        s = q @ k.mT
        return (s * scale if scale else s).softmax(-1) @ v


class GivenScaleUnused(nn.Module):
    def forward(self, q, k, v, scale=None):
        return (q @ k.mT).softmax(-1) @ v


class UnknownMaker(nn.Module):
    """Divides by a number of which only its maker knows that it is the width of a head, without its root."""

    def __init__(self, key, d_k):
        super().__init__()
        if key != "this":
            raise ValueError("expected this")
        self.scale = float(d_k)

    def forward(self, q, k, v):
        return torch.softmax(q @ k.transpose(-1, -2) / self.scale, dim=-1) @ v
