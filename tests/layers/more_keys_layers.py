"""Attention layers of torch with keys besides those of the tokens, or with projections in blocks or lists."""

import torch
from torch import nn
from torch.nn import functional as F


class _Layer(nn.Module):
    scale = None

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def split(self, a):
        return a.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def attend(self, q, k, v):
        q, k, v = map(self.split, (q, k, v))
        return self.mix(q, k, v)

    def mix(self, q, k, v, **options):
        o = F.scaled_dot_product_attention(q, k, v, scale=self.scale, **options)
        return self.out(o.transpose(1, 2).flatten(2))


class MemoryOfHeads(_Layer):
    """Several learned keys and values for each head."""

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.mem_k, self.mem_v = (nn.Parameter(torch.randn(n_heads, 2, d_model // n_heads)) for _ in range(2))

    def memory(self, count):
        return (a.expand(count, -1, -1, -1) for a in (self.mem_k, self.mem_v))

    def forward(self, x, mask=None):
        q, k, v = (self.split(f(x)) for f in (self.query, self.key, self.value))
        more_k, more_v = self.memory(len(x))
        see = None if mask is None else F.pad(mask, (2, 0), value=True)[:, None, None]
        return self.mix(q, torch.cat([more_k, k], 2), torch.cat([more_v, v], 2), attn_mask=see)


class MemoryOfHeadsUnscaled(MemoryOfHeads):
    scale = 1.0


class MemoryOfFirstHead(MemoryOfHeads):
    """The memory of the first head is that of all."""

    def memory(self, count):
        return (a[:1].expand(count, self.n_heads, -1, -1) for a in (self.mem_k, self.mem_v))


class MeshedMemory(_Layer):
    """Learned keys and values of all heads side by side, times square roots (Cornia et al., 2020)."""

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.m_k, self.m_v = (nn.Parameter(torch.randn(1, 3, d_model)) for _ in range(2))

    def forward(self, x):
        more_k = (x.shape[-1] // self.n_heads) ** 0.5 * self.m_k.expand(len(x), -1, -1)
        more_v = 3**0.5 * self.m_v.expand(len(x), -1, -1)
        return self.attend(self.query(x), torch.cat([self.key(x), more_k], 1), torch.cat([self.value(x), more_v], 1))


class Resampler(_Layer):
    """Latents attend to the tokens of an image and to themselves."""

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.norm_media, self.norm_latents = nn.LayerNorm(d_model), nn.LayerNorm(d_model)

    def forward(self, x, latents):
        x, latents = self.norm_media(x), self.norm_latents(latents)
        all_tokens = torch.cat([x, latents], dim=-2)
        return self.attend(self.query(latents), self.key(all_tokens), self.value(all_tokens))


class ResamplerUnscaled(Resampler):
    scale = 1.0


class ResamplerForgetsLatents(Resampler):
    """Its values are joined, its keys are those of the image twice."""

    def forward(self, x, latents):
        x, latents = self.norm_media(x), self.norm_latents(latents)
        keys, values = torch.cat([x, x[:, : latents.shape[1]]], 1), torch.cat([x, latents], 1)
        return self.attend(self.query(latents), self.key(keys), self.value(values))


class Blocks(_Layer):
    """A fused matrix of two blocks, each with queries, values and keys (CodeGen)."""

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.qkv_proj = nn.Linear(d_model, 3 * d_model, bias=False)
        del self.query, self.key, self.value

    def forward(self, x):
        fused = self.qkv_proj(x).unflatten(-1, (2, -1))
        q, v, k = (a.flatten(2) for a in fused.chunk(3, dim=-1))
        return self.attend(q, k, v)


class BlocksUnscaled(Blocks):
    scale = 1.0


class GroupsInBlocks(_Layer):
    """A fused matrix with a block for each key head: its queries, its key and its value (InternLM2)."""

    def __init__(self, d_model, n_heads, n_kv_heads):
        super().__init__(d_model, n_heads)
        self.n_kv_heads = n_kv_heads
        self.wqkv = nn.Linear(d_model, d_model + 2 * n_kv_heads * d_model // n_heads, bias=False)
        del self.query, self.key, self.value

    def forward(self, x):
        times = self.n_heads // self.n_kv_heads
        fused = self.wqkv(x).unflatten(-1, (self.n_kv_heads, times + 2, -1))
        q = fused[..., :times, :].flatten(2, 3).transpose(1, 2)
        k, v = (fused[..., i, :].transpose(1, 2).repeat_interleave(times, dim=1) for i in (-2, -1))
        return self.mix(q, k, v)


class GroupsInBlocksTiled(GroupsInBlocks):
    def forward(self, x):
        times = self.n_heads // self.n_kv_heads
        fused = self.wqkv(x).unflatten(-1, (self.n_kv_heads, times + 2, -1))
        q = fused[..., :times, :].flatten(2, 3).transpose(1, 2)
        k, v = (fused[..., i, :].transpose(1, 2).repeat(1, times, 1, 1) for i in (-2, -1))
        return self.mix(q, k, v)


class _Head(nn.Module):
    def __init__(self, d_model, width):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(d_model, width) for _ in range(3))

    def forward(self, x):
        return F.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x))


class Heads(nn.Module):
    """A list of heads."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.heads = nn.ModuleList(self.made(d_model, n_heads))
        self.out = nn.Linear(d_model, d_model)

    def made(self, d_model, n_heads):
        return [_Head(d_model, d_model // n_heads) for _ in range(n_heads)]

    def forward(self, x):
        return self.out(torch.cat([head(x) for head in self.heads], dim=-1))


class OneHeadInList(Heads):
    """The same head several times."""

    def made(self, d_model, n_heads):
        return [_Head(d_model, d_model // n_heads)] * n_heads


class RotatesBeforeSplit(_Layer):
    """Rotary positions over the width of the model, before the heads are split."""

    def forward(self, x):
        return self.attend(self.rope(self.query(x)), self.rope(self.key(x)), self.value(x))

    def rope(self, a):
        n, d = a.shape[-2:]
        angles = torch.arange(n, dtype=a.dtype)[:, None] * 10000.0 ** (-torch.arange(0, d, 2, dtype=a.dtype) / d)
        x, y = a.chunk(2, dim=-1)
        return torch.cat([x * angles.cos() - y * angles.sin(), x * angles.sin() + y * angles.cos()], dim=-1)
