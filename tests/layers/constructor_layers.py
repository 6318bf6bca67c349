"""Attention layers of torch whose mistakes show only with other arguments of the constructor than the usual ones."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class HiddenWidth(nn.Module):
    def __init__(self, dim, hidden_dim, num_heads):
        super().__init__()
        self.num_heads, self.scale = num_heads, self.scale_of(dim // num_heads, hidden_dim // num_heads)
        self.qk, self.v = nn.Linear(dim, 2 * hidden_dim), nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def scale_of(self, model, width):
        return width**-0.5

    def forward(self, x):
        q, k, v = (a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for a in (*self.qk(x).chunk(2, -1), self.v(x)))
        return self.proj((torch.softmax(q @ k.mT * self.scale, dim=-1) @ v).transpose(1, 2).flatten(2))


class HiddenWidthScaledByModel(HiddenWidth):
    def scale_of(self, model, width):
        return model**-0.5


class WidthForScale(nn.Module):
    """`head_dim` is a third of the model in every use of it: another number has no meaning."""

    def __init__(self, dim, num_heads, head_dim):
        super().__init__()
        self.num_heads, self.scale = num_heads, head_dim**-0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = (a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        return self.proj((torch.softmax(q @ k.mT * self.scale, dim=-1) @ v).transpose(1, 2).flatten(2))


class Options(nn.Module):
    def __init__(self, dim, heads, qkv_bias=False, causal=False, sliding_window=None, qk_norm=False, rel_pos=None):
        super().__init__()
        self.heads, self.causal, self.window, self.rel_pos = heads, causal, sliding_window, rel_pos
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=qkv_bias), nn.Linear(dim, dim)
        self.q_norm, self.k_norm = (nn.LayerNorm(dim // heads) if qk_norm else nn.Identity() for _ in range(2))

    def projected(self, x):
        return self.qkv(x)

    def visible(self, lag):
        see = torch.ones_like(lag, dtype=torch.bool)
        see = see & (lag >= 0) if self.causal else see
        return see if self.window is None else see & (lag < self.window) & (lag > -self.window)

    def forward(self, x):
        q, k, v = (a.unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in self.projected(x).chunk(3, -1))
        place = torch.arange(x.shape[1])
        o = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v, self.visible(place[:, None] - place))
        o = o if self.rel_pos is None else self.rel_pos(o)
        return self.proj(o.transpose(1, 2).flatten(2))


class FlagForgotten(Options):
    def visible(self, lag):
        return torch.ones_like(lag, dtype=torch.bool)


class SeesTheLater(Options):
    def visible(self, lag):
        return super().visible(-lag)


class BiasForgotten(Options):
    def projected(self, x):
        return x @ self.qkv.weight.mT


class Downsampled(nn.Module):
    def __init__(self, dim, heads, downsample_rate=1):
        super().__init__()
        self.dim, self.heads = dim, heads
        self.q, self.k, self.v = (nn.Linear(dim, dim // downsample_rate) for _ in range(3))
        self.proj = nn.Linear(dim // downsample_rate, dim)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        o = F.scaled_dot_product_attention(q, k, v, scale=self.width(q) ** -0.5)
        return self.proj(o.transpose(1, 2).flatten(2))

    def width(self, q):
        return q.shape[-1]


class DownsampledScaledByModel(Downsampled):
    def width(self, q):
        return self.dim // self.heads


class Activated(Options):
    def __init__(self, dim, heads, activation=F.relu):
        super().__init__(dim, heads)
        self.activation = activation

    def projected(self, x):
        return self.activation(self.qkv(x))


class OtherWidths(nn.Module):
    """Keys and values of other tokens than the queries, by default of different widths."""

    def __init__(self, text_dim=24, image_dim=20, value_dim=28, num_heads=4):
        super().__init__()
        self.attn = nn.MultiheadAttention(text_dim, num_heads, kdim=image_dim, vdim=value_dim, batch_first=True)

    def forward(self, query, key, value):
        return self.attn(query, key, value, need_weights=False)[0]


class KeptForItems(nn.Module):
    """Keys and values in an array for so many items, written at the places of the tokens."""

    def __init__(self, dim, heads, max_batch_size=4, rotary_dim=4):
        super().__init__()
        self.heads, self.rotary_dim = heads, rotary_dim
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.register_buffer("kept", torch.zeros(2, max_batch_size, heads, 32, dim // heads))

    def forward(self, x, input_pos):
        q, k, v = (a.unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        assert self.rotary_dim <= q.shape[-1]
        kept = self.kept.to(x.dtype).clone()
        kept[0, : len(x), :, input_pos], kept[1, : len(x), :, input_pos] = k, v
        mask = torch.ones(32, 32).tril().bool()[input_pos]
        return self.out(F.scaled_dot_product_attention(q, *kept[:, : len(x)], mask).transpose(1, 2).flatten(2))


@dataclass
class OfArrays:
    """Its matrices are arguments."""

    query_weight: np.ndarray
    key_weight: np.ndarray
    value_weight: np.ndarray
    output_weight: np.ndarray

    def __call__(self, x):
        q, k, v = (x @ w.T for w in (self.query_weight, self.key_weight, self.value_weight))
        s = q @ k.T / np.sqrt(q.shape[-1])
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) @ v @ self.output_weight.T


class AfterConvolutions(nn.Module):
    """Convolutions of each feature and a norm before every projection, under its name (Wu et al., 2021)."""

    def __init__(self, dim=12, heads=3, grid_size=(5, 7)):
        super().__init__()
        self.heads, self.grid_size = heads, grid_size
        for x in "qkv":
            kernel = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
            self.add_module(f"conv_proj_{x}", nn.Sequential(kernel, nn.BatchNorm2d(dim)))
            self.add_module(f"proj_{x}", nn.Linear(dim, dim))
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        image = x.mT.unflatten(-1, self.grid_size)
        q, k, v = (
            self.get_submodule(f"proj_{x}")(self.get_submodule(f"conv_proj_{x}")(image).flatten(2).mT) for x in "qkv"
        )
        q, k, v = (a.unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in (q, k, v))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class MaskOfWindows(nn.Module):
    """A mask (N, N); one of several windows is repeated, and fits for as many heads by accident."""

    def __init__(self, dim, heads, qkv_bias=False):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=qkv_bias), nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        q, k, v = (a.unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        weights = self.weights(q @ k.mT * self.scale, mask)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))

    def weights(self, scores, mask):
        if mask is not None:
            mask = mask if mask.ndim == 2 else mask.repeat(len(scores), *[1] * (mask.ndim - 1))
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(dim=-1)
