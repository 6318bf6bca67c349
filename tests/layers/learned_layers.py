"""Layers with learned biases, caches without masks, views of the batch, and slopes."""

import torch
from torch import nn
from torch.nn import functional


def _heads(t, heads):
    return t.unflatten(-1, (heads, -1)).transpose(1, 2)


class TableOfWindow(nn.Module):
    """A learned bias for each distance of places in a window; the scale is that of the logits alone."""

    bias_first = False

    def __init__(self, dim=12, heads=3, length=7):
        super().__init__()
        self.heads = heads
        self.table = nn.Parameter(torch.zeros(2 * length - 1, heads))
        places = torch.arange(length)
        self.register_buffer("index", places[:, None] - places + length - 1)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = (_heads(t, self.heads) for t in self.qkv(x).chunk(3, -1))
        bias, scale = self.table[self.index].permute(2, 0, 1), q.shape[-1] ** -0.5
        s = q @ k.transpose(-1, -2)
        s = (s + bias) * scale if self.bias_first else s * scale + bias
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class TableOfWindowScaled(TableOfWindow):
    """As `TableOfWindow`."""

    bias_first = True


class RotaryCache(nn.Module):
    """Rotary attention with a cache of its own; several new tokens see those before them."""

    from_start = False

    def __init__(self, dim=24, heads=3, room=64):
        super().__init__()
        self.heads, self.width = heads, dim // heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        for name in ("cache_k", "cache_v"):
            self.register_buffer(name, torch.zeros(8, heads, room, self.width), persistent=False)

    def turn(self, x, start):
        n, d = x.shape[-2:]
        angles = torch.arange(start, start + n)[:, None] * 1e4 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        a, b = x[..., ::2], x[..., 1::2]
        pairs = [a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()]
        return torch.stack(pairs, -1).flatten(-2).to(x.dtype)

    def forward(self, x, start_pos=0):
        b, n, _ = x.shape
        q, k, v = (_heads(layer(x), self.heads) for layer in (self.wq, self.wk, self.wv))
        q, k = self.turn(q, start_pos), self.turn(k, start_pos)
        self.cache_k[:b, :, start_pos : start_pos + n], self.cache_v[:b, :, start_pos : start_pos + n] = k, v
        k, v = self.cache_k[:b, :, : start_pos + n], self.cache_v[:b, :, : start_pos + n]
        s = q @ k.transpose(-1, -2) * self.width**-0.5
        if n > 1:
            seen = torch.ones(n, start_pos + n, dtype=torch.bool).tril(0 if self.from_start else start_pos)
            s = s.masked_fill(~seen, float("-inf"))
        return self.wo((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class RotaryCacheFromStart(RotaryCache):
    """As `RotaryCache`."""

    from_start = True


class TimeFirstViewed(nn.Module):
    """Tokens (time, batch, channels), of which the axes are exchanged by a reshape."""

    def __init__(self, channels=12, heads=3):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x):
        t, b, c = x.shape
        q, k, v = (_heads(layer(x).reshape(b, t, c), self.heads) for layer in (self.q, self.k, self.v))
        s = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        return self.out((s.softmax(-1) @ v).transpose(1, 2).reshape(t, b, c))


class AlibiOfOneSlope(nn.Module):
    """Causal attention with ALiBi, the slope of the first head being that of all."""

    def __init__(self, dim=12, heads=3):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.slopes = [2 ** (-8 * (h + 1) / heads) for h in range(heads)]

    def forward(self, x):
        q, k, v = (_heads(t, self.heads) for t in self.qkv(x).chunk(3, -1))
        places = torch.arange(x.shape[1])
        behind = places[:, None] - places
        s = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 - behind.clamp(min=0) * self.slopes[0]
        return self.out((s.masked_fill(behind < 0, float("-inf")).softmax(-1) @ v).transpose(1, 2).flatten(2))


class LearnedDistancesUnscaled(nn.Module):
    """A bias for each distance, and no scale."""

    def __init__(self, dim=12, heads=3, furthest=5):
        super().__init__()
        self.heads, self.furthest = heads, furthest
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.distances = nn.Embedding(2 * furthest + 1, heads)

    def forward(self, x, memory=None):
        """The memory has no places, and no bias."""
        other = x if memory is None else memory
        q, k, v = (_heads(f(t), self.heads) for f, t in ((self.q, x), (self.k, other), (self.v, other)))
        s = q @ k.transpose(-1, -2)
        if memory is None:
            places = torch.arange(x.shape[1])
            behind = (places[:, None] - places).clamp(-self.furthest, self.furthest) + self.furthest
            s = s + self.distances(behind).permute(2, 0, 1)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class SequenceFirst(nn.Module):
    """Torch's function with projections apart; tokens are sequence-first, as it takes them."""

    def __init__(self, width=12, heads=3):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        parts = (self.q_proj, self.k_proj, self.v_proj)
        biases, output = torch.cat([part.bias for part in parts]), self.out_proj
        weights = dict(zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), (p.weight for p in parts), strict=True))
        return functional.multi_head_attention_forward(
            *(x, x, x, x.shape[-1], self.heads, None, biases, None, None, False, 0.0, output.weight, output.bias),
            training=False,
            use_separate_proj_weight=True,
            **weights,
        )[0]
