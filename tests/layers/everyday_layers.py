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


class NormedGroups(nn.Module):
    """Three heads for each of two of normalised keys, which the values are too."""

    def __init__(self, dim=24):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(dim, 24), nn.Linear(dim, 8), nn.Linear(dim, 8)
        self.o_proj = nn.Linear(24, dim)

    def forward(self, x):
        q = F.normalize(self.q_proj(x).unflatten(-1, (6, 4)), dim=-1)
        k, v = (F.normalize(p(x).unflatten(-1, (2, 4)), dim=-1) for p in (self.k_proj, self.v_proj))
        q, k, v = (a.repeat_interleave(6 // a.shape[2], dim=2).transpose(1, 2) for a in (q, k, v))
        return self.o_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


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


class Window(Fused):
    """Causal attention of a window: a token sees itself and the window - 1 tokens before it."""

    def __init__(self, d_model, n_heads, window=4):
        super().__init__(d_model, n_heads)
        self.window = window

    def hides(self, distance):
        return (distance < 0) | (distance >= self.window)

    def forward(self, x):
        places = torch.arange(x.shape[1])
        return self.mixed(*self.heads(x), attn_mask=~self.hides(places[:, None] - places))


class WindowOneMore(Window):
    """Causal attention of a window: a token sees itself and the window - 1 tokens before it."""

    def hides(self, distance):
        return (distance < 0) | (distance > self.window)


class WindowForgotten(Window):
    """Causal attention of a window: a token sees itself and the window - 1 tokens before it."""

    def hides(self, distance):
        return distance < 0


class OffsetsOfGrid(Fused):
    """A bias for each offset in a grid of 3 by 5 tokens."""

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.rel_pos_bias = nn.Parameter(torch.zeros(5 * 9, n_heads))
        rows, columns = torch.arange(15) // 5, torch.arange(15) % 5
        self.register_buffer("index", self.entries(rows[:, None] - rows + 2, columns[:, None] - columns + 4))

    def entries(self, rows, columns):
        return rows * 9 + columns

    def forward(self, x):
        return self.mixed(*self.heads(x), attn_mask=self.rel_pos_bias[self.index].permute(2, 0, 1)[None])


class OffsetsCollide(OffsetsOfGrid):
    def entries(self, rows, columns):
        return rows + columns


class SameBucket(TableOfDistances):
    """Causal; the distance of any earlier token is clipped to one."""

    def bias(self, count):
        places = torch.arange(count)
        bias = self.relative_bias_table[(places[:, None] - places).clamp(max=0) + self.max_len - 1].permute(2, 0, 1)
        return bias.masked_fill(torch.ones(count, count).triu(1).bool(), -torch.inf)


class CausalUnlessMasked(Fused):
    def forward(self, x, attn_mask=None):
        return self.mixed(*self.heads(x), attn_mask=attn_mask, is_causal=attn_mask is None)


class CausalUnlessPadded(Fused):
    """Causal attention; key_padding_mask is True for padding."""

    def forward(self, x, key_padding_mask=None):
        see = None if key_padding_mask is None else ~key_padding_mask[:, None, None]
        return self.mixed(*self.heads(x), attn_mask=see, is_causal=see is None)


class CausalBuffer(Fused):
    """Its buffer has the name of a flag."""

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.register_buffer("causal", torch.ones(32, 32, dtype=torch.bool).tril())

    def forward(self, x):
        n = x.shape[1]
        return self.mixed(*self.heads(x), attn_mask=self.causal[:n, :n])


class NullKey(Fused):
    """A learned key and value next to those of the tokens."""

    place = (1, 0)

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.null_kv = nn.Parameter(torch.randn(2, n_heads, 1, d_model // n_heads))

    def forward(self, x, mask=None):
        q, k, v = self.heads(x)
        null_k, null_v = (a.expand(len(x), -1, -1, -1) for a in self.null_kv)
        see = None if mask is None else F.pad(mask, self.place, value=True)[:, None, None]
        return self.mixed(q, torch.cat([null_k, k], -2), torch.cat([null_v, v], -2), attn_mask=see)


class NullKeyHidesLast(NullKey):
    """The mask is extended at the end, where the null key is the first."""

    place = (0, 1)


class FixedWidths(nn.Module):
    """Its code has the sizes that its defaults give."""

    def __init__(self, d_model=24, n_heads=3):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).view(-1, x.shape[1], 3, 8).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, x.shape[1], 24))


class MaskedLogits(Fused):
    """Returns its output and the attention weights."""

    def forward(self, x, mask=None):
        q, k, v = self.heads(x)
        s = q @ k.mT * q.shape[-1] ** -0.5
        s = s if mask is None else s.masked_fill(mask == 0, -1e9)
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2)), s


class Interacting(nn.Module):
    """A learned residual connection, and an activation after it (Song et al., 2019, AutoInt)."""

    def __init__(self, embedding_size, head_num=2):
        super().__init__()
        self.head_num = head_num
        self.W_query, self.W_key, self.W_value, self.W_res = (
            nn.Parameter(torch.randn(embedding_size, embedding_size)) for _ in range(4)
        )

    def logits(self, q, k):
        return q @ k.mT / q.shape[-1] ** 0.5

    def forward(self, inputs):
        q, k, v = (
            (inputs @ w).unflatten(-1, (self.head_num, -1)).transpose(1, 2)
            for w in (self.W_query, self.W_key, self.W_value)
        )
        o = (self.logits(q, k).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return F.relu(o + inputs @ self.W_res)


class InteractingUnscaled(Interacting):
    def logits(self, q, k):
        return q @ k.mT


class NeedsContext(nn.Module):
    """A context and a mask that are None by default, and without which it cannot be called."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads, self.width = n_heads, d_model // n_heads
        self.q, self.k, self.v, self.out = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, encoder_hidden_states=None, attention_mask=None):
        q, k, v = (
            f(a).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for f, a in ((self.q, x), (self.k, encoder_hidden_states), (self.v, encoder_hidden_states))
        )
        hidden = (1.0 - attention_mask.float()) * torch.finfo(q.dtype).min
        s = q @ k.mT / self.width**0.5 + hidden[:, None]
        return self.out((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class NeedsContextWide(NeedsContext):
    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.width = d_model


class Lengths(Fused):
    """Numbers of frames, which are made into a mask."""

    def visible(self, frames, lengths):
        return frames < lengths[:, None]

    def forward(self, x, x_lengths=None):
        frames = torch.arange(x.shape[1])
        mask = None if x_lengths is None else self.visible(frames, x_lengths)[:, None, None]
        return self.mixed(*self.heads(x), attn_mask=mask)


class LengthsInverted(Lengths):
    def visible(self, frames, lengths):
        return frames >= lengths[:, None]
