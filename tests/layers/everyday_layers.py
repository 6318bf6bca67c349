"""Attention layers of torch with what everyday code has around them."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


class Fused(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.attn = nn.Linear(d_model, 3 * d_model)
        self.proj = nn.Linear(d_model, d_model)

    def heads(self, x):
        q, k, v = self.attn(x).chunk(3, dim=-1)
        return [a.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for a in (q, k, v)]

    def mixed(self, q, k, v, **options):
        return self.proj(F.scaled_dot_product_attention(q, k, v, **options).transpose(1, 2).flatten(2))

    def forward(self, x):
        return self.mixed(*self.heads(x))


class OfDictionary(Fused):
    def forward(self, batch):
        mask = batch.get("mask")
        see = None if mask is None else mask[:, None, None].bool()
        return {"x": self.mixed(*self.heads(batch["x"]), attn_mask=see)}


class OfDictionaryUnscaled(Fused):
    def forward(self, batch):
        return {"x": self.mixed(*self.heads(batch["x"]), scale=1.0)}


class OfTuple(Fused):
    def forward(self, inputs):
        x, mask = inputs
        return self.mixed(*self.heads(x), attn_mask=mask)


@dataclass
class Output:
    hidden: torch.Tensor
    cache: object = None


class ReturnsObject(Fused):
    def forward(self, x):
        return Output(self.mixed(*self.heads(x)))


class PresentTokens(nn.Module):
    """`mask` is True for tokens that are there; nn.MultiheadAttention expects True for padding."""

    def __init__(self, dim, heads):
        super().__init__()
        self.mha = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x, mask=None):
        return self.mha(x, x, x, key_padding_mask=None if mask is None else ~mask.bool())[0]


class PresentTokensInverted(PresentTokens):
    """`mask` is True for tokens that are there."""

    def forward(self, x, mask=None):
        return self.mha(x, x, x, key_padding_mask=mask)[0]


class Pool(nn.Module):
    """mask: (batch, tokens), True for padding."""

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, embed_dim))
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)

    def forward(self, x, mask=None):
        return self.attn(self.query.expand(len(x), -1, -1), x, x, key_padding_mask=mask)[0].squeeze(1)


class PoolInverted(Pool):
    def forward(self, x, mask=None):
        return super().forward(x, None if mask is None else ~mask)


class WritesIntoTokens(Fused):
    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x):
        x += self.mixed(*self.heads(self.norm(x)))
        return x


class AddsNormalised(WritesIntoTokens):
    def forward(self, x):
        x = self.norm(x)
        return x + self.mixed(*self.heads(x))


class AddsTokens(WritesIntoTokens):
    def forward(self, x):
        return x + self.mixed(*self.heads(self.norm(x)))


class Unscaled(Fused):
    """The embedded Gaussian of non-local networks."""

    def forward(self, x):
        return self.mixed(*self.heads(x), scale=1.0)


@dataclass
class Config:
    hidden_size: int = 512
    num_attention_heads: int = 8
    num_key_value_heads: int = 4


class Grouped(nn.Module):
    def __init__(self, config: Config):
        super().__init__()
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads
        width = config.hidden_size // self.heads
        self.q_proj = nn.Linear(config.hidden_size, self.heads * width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, self.groups * width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, self.groups * width, bias=False)
        self.o_proj = nn.Linear(self.heads * width, config.hidden_size, bias=False)

    def repeated(self, a):
        return a.repeat_interleave(self.heads // self.groups, dim=1)

    def forward(self, x):
        q = self.q_proj(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (
            self.repeated(p(x).unflatten(-1, (self.groups, -1)).transpose(1, 2)) for p in (self.k_proj, self.v_proj)
        )
        return self.o_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Tiled(Grouped):
    def repeated(self, a):
        return a.repeat(1, self.heads // self.groups, 1, 1)


@dataclass
class OptionalConfig(Config):
    num_key_value_heads: int | None = None


class TiledByDefault(Tiled):
    def __init__(self, config: OptionalConfig):
        super().__init__(config)


class NewKeysFirst(Fused):
    def forward(self, x, past_kv=None, use_cache=False):
        q, k, v = self.heads(x)
        if past_kv is not None:
            k, v = torch.cat([k, past_kv[0]], 2), torch.cat([v, past_kv[1]], 2)
        see = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
        output = self.mixed(q, k, v, attn_mask=see)
        return (output, (k, v)) if use_cache else output


class OldKeysFirst(Fused):
    def forward(self, x, past_kv=None, use_cache=False):
        q, k, v = self.heads(x)
        if past_kv is not None:
            k, v = torch.cat([past_kv[0], k], 2), torch.cat([past_kv[1], v], 2)
        see = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
        output = self.mixed(q, k, v, attn_mask=see)
        return (output, (k, v)) if use_cache else output


class Registers(Fused):
    """With learned tokens, which are dropped from the output."""

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.registers = nn.Parameter(torch.randn(1, 4, d_model))

    def forward(self, x):
        return super().forward(torch.cat([self.registers.expand(len(x), -1, -1), x], dim=1))[:, 4:]


class RegistersUnscaled(Registers):
    def mixed(self, q, k, v):
        return super().mixed(q, k, v, scale=1.0)


class TableOfDistances(Fused):
    def __init__(self, d_model, n_heads, max_len=80):
        super().__init__(d_model, n_heads)
        self.max_len = max_len
        self.relative_bias_table = nn.Parameter(torch.zeros(2 * max_len - 1, n_heads))

    def bias(self, count):
        places = torch.arange(count)
        return self.relative_bias_table[places[:, None] - places + self.max_len - 1].permute(2, 0, 1)

    def forward(self, x):
        return self.mixed(*self.heads(x), attn_mask=self.bias(x.shape[1])[None])


class TableOfFirstHead(TableOfDistances):
    def bias(self, count):
        return super().bias(count)[:1]


class HalfScale(Fused):
    """With the scale of heads of width four."""

    def forward(self, x):
        return self.mixed(*self.heads(x), scale=0.5)
