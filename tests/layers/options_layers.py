"""Layers whose masks, softcaps, scales, biases or queries come in a form of their own, and mistakes next to them."""

import torch
from torch import nn


class TwoMasks(nn.Module):
    """Tokens that are padding, and those of the context that are, are left out."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def forward(self, x, context=None, mask=None, context_mask=None):
        source, keep = (x, mask) if context is None else (context, self.of_context(mask, context_mask))
        q, k, v = (
            w(a).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for w, a in ((self.to_q, x), (self.to_k, source), (self.to_v, source))
        )
        s = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if keep is not None:
            s = s.masked_fill(~keep[:, None, None], -1e30)
        return self.to_out((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def of_context(self, mask, context_mask):
        return context_mask


class TwoMasksOneIgnored(TwoMasks):
    """Nothing hides the padding of the context."""

    def of_context(self, mask, context_mask):
        return None


class MaskMakesCausal(nn.Module):
    """Any mask makes it causal, whatever it hides."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        q, k, v = (a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        o = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=mask is not None)
        return self.proj(o.transpose(1, 2).flatten(2))


class Capped(nn.Module):
    """Logits between −cap and cap, then a mask of numbers."""

    def __init__(self, dim, num_heads, logit_cap=50.0):
        super().__init__()
        self.num_heads, self.cap = num_heads, logit_cap
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, attention_mask=None):
        q, k, v = (a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        s = self.masked(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, attention_mask)
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def masked(self, s, mask):
        return self.capped(s) + (0 if mask is None else mask)

    def capped(self, s):
        return self.cap * torch.tanh(s / self.cap)


class CappedLast(Capped):
    """The cap comes after the mask."""

    def masked(self, s, mask):
        return self.capped(s + (0 if mask is None else mask))


class CapForgotten(Capped):
    """The cap is an attribute that nothing reads."""

    def capped(self, s):
        return s


class RelativeAttention(nn.Module):
    """A bias that holds the mask is handed to the next layer; the logits are as they are."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))
        self.relative_attention_bias = nn.Embedding(32, num_heads)

    def forward(self, hidden_states, mask=None, position_bias=None):
        n = hidden_states.shape[1]
        q, k, v = (
            w(hidden_states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for w in (self.q, self.k, self.v)
        )
        if position_bias is None:
            distances = torch.arange(n) - torch.arange(n)[:, None] + 16
            position_bias = self.relative_attention_bias(distances).permute(2, 0, 1)[None]
            position_bias = position_bias if mask is None else position_bias + mask
        weights = (q @ k.transpose(-1, -2) + position_bias).softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2)), position_bias, weights


class T5Attention(RelativeAttention):
    """Its initialisation makes up for it."""


class LearnedQueries(nn.Module):
    """Pools tokens with queries that it learns."""

    def __init__(self, dim, num_heads, num_queries):
        super().__init__()
        self.num_heads = num_heads
        self.queries = nn.Parameter(torch.randn(num_queries, dim))
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x):
        q, k, v = (
            a.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)
            for a in (self.q_proj(self.queries), self.k_proj(x), self.v_proj(x))
        )
        return self.out_proj((self.normalized(q @ k.transpose(-1, -2)) @ v).transpose(1, 2).flatten(2))

    def normalized(self, s):
        return (s * (self.queries.shape[-1] // self.num_heads) ** -0.5).softmax(-1)


class LearnedQueriesOverQueries(LearnedQueries):
    """The softmax is over the queries."""

    def normalized(self, s):
        return (s * (self.queries.shape[-1] // self.num_heads) ** -0.5).softmax(-2)


class PreNorm(nn.Module):
    """A norm and a residual connection around torch's attention, whose masks hide."""

    def __init__(self, d_model, nhead):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.self_attn = nn.MultiheadAttention(d_model, nhead, batch_first=True)

    def forward(self, src, src_mask=None):
        y = self.norm(src)
        return src + self.self_attn(y, y, y, attn_mask=src_mask, need_weights=False)[0]


class SlidingWindow(nn.Module):
    """Causal attention, with a window of the last four tokens."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim, bias=False)

    def forward(self, x):
        q, k, v = (a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        ones = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
        s = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).masked_fill(~(ones.tril() & ones.triu(-3)), -torch.inf)
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class FoldedBias(SlidingWindow):
    """A bias (B · H, 1, N) has to be passed, as in BLOOM."""

    def forward(self, x, alibi):
        q, k, v = (
            a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2).flatten(0, 1) for a in self.qkv(x).chunk(3, -1)
        )
        s = alibi.baddbmm(q, k.transpose(-1, -2), alpha=q.shape[-1] ** -0.5)
        o = (s.softmax(-1) @ v).unflatten(0, (-1, self.num_heads))
        return self.proj(o.transpose(1, 2).flatten(2))


class BiasOfFirstHead(SlidingWindow):
    """The bias (H, N, N) of the first head is added for every head."""

    def forward(self, x, attn_bias):
        q, k, v = (a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        s = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + attn_bias[0]
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class SizeOfImage(nn.Module):
    """Takes the sides of the image that its tokens are from, which it needs only to reduce them."""

    def __init__(self, dim=24, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(self, x, size):
        b, n, d = x.shape
        q = self.q(x).reshape(b, n, self.num_heads, -1).transpose(1, 2)
        k, v = self.kv(x).reshape(b, n, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (d // self.num_heads) ** -0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, d))


class AddsResidual(SizeOfImage):
    """Adds what it is passed to its output, as BLOOM's layers do."""

    def forward(self, hidden_states, residual):
        return residual + super().forward(hidden_states, None)


class KeysAndValues(nn.Module):
    """Keys and values come from inputs of their own."""

    def __init__(self, embed_dim=24, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        q, k, v = (a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for a in self.projected(query, key, value))
        s = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if mask is not None:
            s = s.masked_fill(~mask, -1e9)
        return self.w_o((self.dropped(s.softmax(-1)) @ v).transpose(1, 2).flatten(2))

    def projected(self, query, key, value):
        return self.w_q(query), self.w_k(key), self.w_v(value)

    def dropped(self, weights):
        return weights


class ValuesOfKeyInput(KeysAndValues):
    def projected(self, query, key, value):
        return self.w_q(query), self.w_k(key), self.w_v(key)


class DropsAlways(KeysAndValues):
    """Rows without a key have equal weights, which are dropped too."""

    def dropped(self, weights):
        return nn.functional.dropout(weights, 0.1)
