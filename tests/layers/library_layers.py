"""Layers in the ways of libraries: projections in parts of their own, learned factors, many tokens, inherited axes."""

import torch
from torch import nn

from layers.library_base import TokensFirst


class Projection(nn.Module):
    def __init__(self, dim, out):
        super().__init__()
        self.proj = nn.Conv2d(dim, out, 1, bias=False)

    def forward(self, image):
        return self.proj(image)


class NestedProjections(nn.Module):
    """All heads share keys and values; each projection is the only layer of a part."""

    scale = True

    def __init__(self, dim=24, num_heads=3, key_dim=8):
        super().__init__()
        self.num_heads, self.key_dim = num_heads, key_dim
        self.query = Projection(dim, num_heads * key_dim)
        self.key, self.value = Projection(dim, key_dim), Projection(dim, key_dim)
        self.output = Projection(num_heads * key_dim, dim)

    def forward(self, x):
        b, _, height, width = x.shape
        q = self.query(x).reshape(b, self.num_heads, self.key_dim, -1).transpose(-1, -2)
        k, v = self.key(x).flatten(2), self.value(x).flatten(2)
        logits = q @ k[:, None] * (self.key_dim**-0.5 if self.scale else 1.0)
        out = logits.softmax(-1) @ v[:, None].transpose(-1, -2)
        return self.output(out.transpose(-1, -2).reshape(b, -1, height, width))


class NestedProjectionsUnscaled(NestedProjections):
    scale = False


class Rearrange(nn.Module):
    """As a layer of einops, which holds the sizes of axes."""

    def __init__(self, pattern, **axes_lengths):
        super().__init__()
        self.pattern, self.axes_lengths = pattern, axes_lengths

    def forward(self, x):
        if self.axes_lengths:
            return x.unflatten(-1, (self.axes_lengths["h"], -1)).transpose(1, 2)
        return x.transpose(1, 2).flatten(2)


class UnitVectors(nn.Module):
    """Queries and keys of length one, times learned factors whose product is √d at first, as in nGPT."""

    def __init__(self, dim=24, heads=3, start=0.25):
        super().__init__()
        d = dim // heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        self.q_scale = nn.Parameter(torch.full((heads, 1, d), float(d) ** start))
        self.k_scale = nn.Parameter(torch.full((heads, 1, d), float(d) ** start))
        self.split = Rearrange("b n (h d) -> b h n d", h=heads)
        self.merge = Rearrange("b h n d -> b n (h d)")

    def forward(self, x):
        q, k, v = map(self.split, (self.to_q(x), self.to_k(x), self.to_v(x)))
        q, k = (nn.functional.normalize(a, dim=-1) * s for a, s in ((q, self.q_scale), (k, self.k_scale)))
        return self.to_out(self.merge((q @ k.transpose(-1, -2)).softmax(-1) @ v))


class UnitVectorsUnscaled(UnitVectors):
    def __init__(self, dim=24, heads=3):
        super().__init__(dim, heads, start=0.0)


class ProjectedDistances(nn.Module):
    """A bias that is a product of two things it learns: weights of each query, and curves over distances."""

    used = True

    def __init__(self, dim=24, heads=3, basis=4, longest=32):
        super().__init__()
        self.heads, self.longest = heads, longest
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.rel_pos_weights = nn.Linear(dim, heads * basis)
        self.rel_pos_bank = nn.Parameter(torch.randn(basis, 2 * longest - 1))

    def forward(self, x):
        b, n, dim = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if self.used:
            weights = self.rel_pos_weights(x).reshape(b, n, self.heads, -1).transpose(1, 2)
            place = torch.arange(n)
            distance = (place[:, None] - place + self.longest - 1).expand(b, self.heads, n, n)
            logits = logits + (weights @ self.rel_pos_bank).gather(-1, distance)
        return self.proj((logits.softmax(-1) @ v).transpose(1, 2).reshape(b, n, dim))


class ProjectedDistancesUnused(ProjectedDistances):
    used = False


class LargeWindow(nn.Module):
    """Windows of 10 × 10 tokens, no more and no fewer."""

    scale = True

    def __init__(self, dim=12, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.randn(num_heads, 100))
        grid = torch.stack(torch.meshgrid(torch.arange(10), torch.arange(10), indexing="ij"), -1).reshape(-1, 2)
        row, column = (grid[:, None] - grid).abs().unbind(-1)
        self.register_buffer("attention_bias_idxs", row * 10 + column, persistent=False)

    def forward(self, x):
        b, n, dim = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if self.scale else 1.0)
        weights = (logits + self.attention_biases[:, self.attention_bias_idxs]).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, dim))


class LargeWindowUnscaled(LargeWindow):
    scale = False


class DefaultType(nn.Module):
    """Tiles of keys with a running maximum in the default type, which begins at the least number of that of queries."""

    scale = True

    def __init__(self, dim=24, heads=3):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        b, n, dim = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q = q * (q.shape[-1] ** -0.5 if self.scale else 1.0)
        out, total = torch.zeros_like(q), torch.zeros((*q.shape[:-1], 1))
        top = torch.full((*q.shape[:-1], 1), -torch.finfo(q.dtype).max)
        for keys, values in zip(k.split(2, -2), v.split(2, -2), strict=True):
            logits = q @ keys.transpose(-1, -2)
            higher = torch.maximum(top, logits.amax(-1, keepdim=True))
            weights, shrink = (logits - higher).exp(), (top - higher).exp()
            total = total * shrink + weights.sum(-1, keepdim=True)
            out, top = out * shrink + weights @ values, higher
        return self.proj((out / total).transpose(1, 2).reshape(b, n, dim))


class DefaultTypeUnscaled(DefaultType):
    scale = False


class InheritsAxes(TokensFirst):
    """The axes are in the text of the class that it inherits from, in another file."""


class InheritsAxesUnscaled(TokensFirst):
    scale = False


class Dictionary(nn.Module):
    """Its layers are in a dictionary, which cannot be called."""

    scale = True

    def __init__(self, dim=24, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(dim)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)})

    def forward(self, x):
        b, n, dim = x.shape
        q, k, v = self.attn["qkv"](self.norm(x)).reshape(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if self.scale else 1.0)
        return self.attn["proj"]((logits.softmax(-1) @ v).transpose(1, 2).reshape(b, n, dim))


class DictionaryUnscaled(Dictionary):
    scale = False
