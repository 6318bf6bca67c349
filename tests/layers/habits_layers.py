"""Layers with habits of public code: hidden tokens, orders of weights, norms of a context, packed sequences."""

from itertools import pairwise

import torch
from torch import nn


class Base(nn.Module):
    """Projections, and attention between heads of a method that classes replace in part."""

    def __init__(self, dim=12, heads=3):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def logits(self, q, k):
        return q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5

    def split(self, a):
        return a.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def attend(self, x, context, keep=None):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(context)), self.split(self.to_v(context))
        s = self.logits(q, k)
        p = (s if keep is None else s.masked_fill(~keep, -1e30)).softmax(-1)
        return self.to_out((p @ v).transpose(-2, -3).flatten(-2)), p


class OthersOnly(Base):
    """No token sees itself, and the factor of the logits is learned."""

    def __init__(self, dim=12, heads=3):
        super().__init__(dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.temperature = nn.Parameter(torch.zeros(()))

    def logits(self, q, k):
        return q @ k.transpose(-1, -2) * self.temperature.exp()

    def forward(self, x):
        x = self.norm(x)
        return self.attend(x, x, ~torch.eye(x.shape[1], dtype=torch.bool))[0]


class OthersOnlyUnscaled(OthersOnly):
    """Without any factor."""

    def __init__(self, dim=12, heads=3):
        super().__init__(dim, heads)
        del self.temperature

    def logits(self, q, k):
        return q @ k.transpose(-1, -2)


class HeadsFirst(Base):
    """Returns attention weights with heads before the batch."""

    def forward(self, x, key_padding_mask=None):
        keep = None if key_padding_mask is None else ~key_padding_mask[:, None, None].bool()
        output, weights = self.attend(x, x, keep)
        return output, weights.transpose(0, 1)


class HeadsFirstScaledTwice(HeadsFirst):
    """1/√d applied to queries and to logits."""

    def logits(self, q, k):
        return super().logits(q, k) * q.shape[-1] ** -0.5


class HidesQueriesToo(Base):
    """Padding is hidden as keys and as queries."""

    def forward(self, x, mask=None):
        return self.attend(x, x, None if mask is None else (mask[:, :, None] & mask[:, None])[:, None])[0]


class NormsItsContext(Base):
    """A norm for the tokens, and another for a context."""

    def __init__(self, dim=12, heads=3):
        super().__init__(dim, heads)
        self.norm, self.norm_context = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x, context=None):
        x = self.norm(x)
        return self.attend(x, x if context is None else self.norm_context(context))[0]


class NormsItsContextUnscaled(NormsItsContext):
    """As the one before, with other logits."""

    def logits(self, q, k):
        return q @ k.transpose(-1, -2)


class WindowAndCap(Base):
    """Four tokens back, and a softcap."""

    def __init__(self, dim=12, heads=3, soft_cap=5.0):
        super().__init__(dim, heads)
        self.soft_cap = soft_cap

    def logits(self, q, k):
        return self.soft_cap * torch.tanh(super().logits(q, k) / self.soft_cap)

    def forward(self, x):
        back = torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1])
        return self.attend(x, x, (back >= 0) & (back < 4))[0]


class InnerOfConfig(Base):
    """Reads its settings from a dictionary; a mask of heads is a factor of their weights."""

    def __init__(self, config):
        super().__init__(config["hidden_size"], config["num_attention_heads"])

    def forward(self, x, head_mask=None):
        q, k, v = (self.split(w(x)) for w in (self.to_q, self.to_k, self.to_v))
        p = self.logits(q, k).softmax(-1)
        p = p if head_mask is None else p * head_mask
        return self.to_out((p @ v).transpose(1, 2).flatten(2))


class HandsConfigOn(nn.Module):
    """Hands its settings on without reading them."""

    def __init__(self, config):
        super().__init__()
        self.attention = InnerOfConfig(config)

    def forward(self, x, head_mask=None):
        return self.attention(x, head_mask)


class PackedImages(Base):
    """Tokens of several images in a row (N, D), and where each begins."""

    def forward(self, hidden_states, cu_seqlens):
        keep = torch.zeros(len(hidden_states), len(hidden_states), dtype=torch.bool)
        for start, end in pairwise(cu_seqlens):
            keep[start:end, start:end] = True
        return self.attend(hidden_states, hidden_states, keep)[0]


class PackedInEachItem(Base):
    """Tokens (B, N, D), of which each item has images that begin at the same places."""

    def forward(self, hidden_states, cu_seqlens, max_seqlen):
        parts = [hidden_states[:, start:end] for start, end in pairwise(cu_seqlens)]
        return torch.cat([self.attend(part, part)[0] for part in parts], dim=1)


class PackedImagesMixed(Base):
    """Does not use where each image begins."""

    def forward(self, hidden_states, cu_seqlens):
        return self.attend(hidden_states, hidden_states)[0]


class TurnedBeforeHeads(Base):
    """Rotary positions over the whole width, before it is divided into heads."""

    def turn(self, a):
        angles = torch.arange(a.shape[1], dtype=a.dtype)[:, None] * 10000.0 ** (
            -torch.arange(0, a.shape[-1], 2, dtype=a.dtype) / a.shape[-1]
        )
        x, y = a[..., ::2], a[..., 1::2]
        return torch.stack([x * angles.cos() - y * angles.sin(), x * angles.sin() + y * angles.cos()], -1).flatten(-2)

    def forward(self, x):
        q, k = (self.split(self.turn(w(x))) for w in (self.to_q, self.to_k))
        p = self.logits(q, k).softmax(-1)
        return self.to_out((p @ self.split(self.to_v(x))).transpose(1, 2).flatten(2))


class WeightsOfFirstHead(Base):
    """Returns the attention weights of the first head."""

    def forward(self, x):
        output, weights = self.attend(x, x)
        return output, weights[:, 0]


class GroupsInside(nn.Module):
    """Queries as (B, N, r, G, d), so that head h takes key head h mod G; a mask of each item meets the wrong axis."""

    def __init__(self, dim=24, num_heads=6, num_kv_heads=2):
        super().__init__()
        self.groups, self.width = num_kv_heads, dim // num_heads
        self.to_q, self.to_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.to_k, self.to_v = (nn.Linear(dim, self.groups * self.width) for _ in range(2))

    def forward(self, x, mask=None):
        q = self.to_q(x).unflatten(-1, (-1, self.groups, self.width))
        k, v = (w(x).unflatten(-1, (self.groups, self.width)) for w in (self.to_k, self.to_v))
        s = torch.einsum("bnrgd,bmgd->brgnm", q, k) * self.width**-0.5
        s = s if mask is None else s.masked_fill(~mask, -torch.inf)
        return self.to_out(torch.einsum("brgnm,bmgd->bnrgd", s.softmax(-1), v).flatten(2))


class ImageOfTables(Base):
    """Logits with learned tables for the rows and columns of an image (B, D, 4, 4)."""

    def __init__(self, n_dims=24, width=7, height=7, heads=3):
        super().__init__(n_dims, heads)
        self.rel_h = nn.Parameter(torch.randn(heads, n_dims // heads, 1, height))
        self.rel_w = nn.Parameter(torch.randn(heads, n_dims // heads, width, 1))

    def logits(self, q, k):
        return super().logits(q, k) + q @ (self.rel_h + self.rel_w).flatten(-2)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.attend(tokens, tokens)[0].transpose(1, 2).reshape(x.shape)


class RowsOfImage(Base):
    """Each row of an image (B, H, W, D) attends within itself."""

    def forward(self, x):
        assert x.ndim == 4
        return self.attend(x, x)[0]


class LocalAndGlobal(Base):
    """Local attention with one token that sees, and is seen by, all; few tokens do not show that some are hidden."""

    def keys(self, i):
        return ((i[:, None] - i).abs() <= 4) | (i == 0) | (i[:, None] == 0)

    def forward(self, x):
        return self.attend(x, x, self.keys(torch.arange(x.shape[1])))[0]


class StridedCausal(LocalAndGlobal):
    """Sparse causal attention to the last tokens and to every fourth one."""

    def keys(self, i):
        lag = i[:, None] - i
        return (lag >= 0) & ((lag < 3) | (lag % 4 == 0))


class StridedLeaking(LocalAndGlobal):
    """Sparse causal attention; its strided part sees later tokens, too."""

    def keys(self, i):
        lag = i[:, None] - i
        return ((lag >= 0) & (lag < 3)) | (lag % 4 == 0)


class StridedUnscaled(StridedCausal):
    """Sparse causal attention with other logits."""

    def logits(self, q, k):
        return q @ k.transpose(-1, -2)
