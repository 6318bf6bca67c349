"""Attention layers in torch, each in the style of well-known public code; and the same with a mistake put in."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


class VisionAttention(nn.Module):
    """Fused projection in the order (3, H, d), with normalised queries and keys where asked."""

    def __init__(self, dim, num_heads=8, qkv_bias=False, qk_norm=False, attn_drop=0.1, proj_drop=0.1):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.scale = self.head_dim**-0.5
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias)
        self.q_norm = nn.LayerNorm(self.head_dim) if qk_norm else nn.Identity()
        self.k_norm = nn.LayerNorm(self.head_dim) if qk_norm else nn.Identity()
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x):
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        attn = (self.q_norm(q) * self.scale) @ self.k_norm(k).transpose(-2, -1)
        x = self.attn_drop(self.normalize(attn)) @ v
        return self.proj_drop(self.proj(self.merge(x, B, N, C)))

    def normalize(self, attn):
        return attn.softmax(dim=-1)

    def merge(self, x, B, N, C):
        return x.transpose(1, 2).reshape(B, N, C)


class VisionUnscaled(VisionAttention):
    def __init__(self, dim, num_heads=8):
        super().__init__(dim, num_heads)
        self.scale = 1.0


class VisionOverQueries(VisionAttention):
    def normalize(self, attn):
        return attn.softmax(dim=-2)


class VisionMergedUnmoved(VisionAttention):
    def merge(self, x, B, N, C):
        return x.reshape(B, N, C)


class PreNormAttention(nn.Module):
    """A layer norm inside, heads of their own width, an output projection in a Sequential."""

    def __init__(self, dim, heads=8, dim_head=64, dropout=0.0):
        super().__init__()
        inner = dim_head * heads
        self.heads, self.scale = heads, dim_head**-0.5
        self.norm = nn.LayerNorm(dim)
        self.to_qkv = nn.Linear(dim, inner * 3, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, dim), nn.Dropout(dropout))

    def forward(self, x):
        x = self.norm(x)
        b, n, _ = x.shape
        q, k, v = (t.reshape(b, n, self.heads, -1).transpose(1, 2) for t in self.to_qkv(x).chunk(3, dim=-1))
        attn = (q @ k.transpose(-1, -2) * self.scale).softmax(dim=-1)
        return self.to_out((attn @ v).transpose(1, 2).reshape(b, n, -1))


class ContextAttention(nn.Module):
    """Queries from x, keys and values from a context of another width."""

    def __init__(self, query_dim, context_dim=None, heads=8, dim_head=64):
        super().__init__()
        inner = dim_head * heads
        context_dim = query_dim if context_dim is None else context_dim
        self.heads, self.scale = heads, dim_head**-0.5
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_kv = nn.Linear(context_dim, inner * 2, bias=False)
        self.to_out = nn.Linear(inner, query_dim)

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, (k, v) = self.to_q(x), self.to_kv(self.keys_from(x, context)).chunk(2, dim=-1)
        q, k, v = (t.reshape(t.shape[0], t.shape[1], self.heads, -1).transpose(1, 2) for t in (q, k, v))
        sim = torch.einsum("bhid,bhjd->bhij", q, k) * self.scale
        if mask is not None:
            sim = sim.masked_fill(~mask[:, None, None, :], -torch.finfo(sim.dtype).max)
        out = torch.einsum("bhij,bhjd->bhid", sim.softmax(dim=-1), v)
        return self.to_out(out.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))

    def keys_from(self, x, context):
        return context


class ContextIgnored(ContextAttention):
    def keys_from(self, x, context):
        return x


class BertAttention(nn.Module):
    """Separate projections with biases, an additive mask, a tuple with the weights."""

    def __init__(self, config):
        super().__init__()
        self.num_attention_heads = config.num_attention_heads
        self.attention_head_size = config.hidden_size // config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def split(self, x):
        return x.view(*x.shape[:2], self.num_attention_heads, self.attention_head_size).permute(0, 2, 1, 3)

    def forward(self, hidden_states, attention_mask=None, head_mask=None, output_attentions=False):
        q, k, v = (
            self.split(self.query(hidden_states)),
            self.split(self.key(hidden_states)),
            self.split(self.value(hidden_states)),
        )
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(self.attention_head_size)
        if attention_mask is not None:
            scores = scores + attention_mask
        probs = self.dropout(nn.functional.softmax(scores, dim=-1))
        context = torch.matmul(probs, v).permute(0, 2, 1, 3).contiguous()
        context = context.view(*context.shape[:2], -1)
        return (context, probs) if output_attentions else (context,)


@dataclass
class GPTConfig:
    block_size: int = 1024
    n_head: int = 12
    n_embd: int = 768
    dropout: float = 0.0
    bias: bool = True


class CausalSelfAttention(nn.Module):
    """A fused projection, causal by a buffer."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.attn_dropout, self.resid_dropout = nn.Dropout(config.dropout), nn.Dropout(config.dropout)
        self.n_head, self.n_embd = config.n_head, config.n_embd
        ones = torch.ones(config.block_size, config.block_size)
        self.register_buffer("bias", torch.tril(ones).view(1, 1, config.block_size, config.block_size))

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        q, k, v = (a.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for a in (q, k, v))
        att = self.attn_dropout(self.weights(q @ k.transpose(-2, -1) / self.divisor(k), T))
        return self.resid_dropout(self.c_proj((att @ v).transpose(1, 2).contiguous().view(B, T, C)))

    def divisor(self, k):
        return math.sqrt(k.size(-1))

    def weights(self, att, T):
        return F.softmax(att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf")), dim=-1)


class CausalUnscaled(CausalSelfAttention):
    def divisor(self, k):
        return 1.0


class CausalModelWidth(CausalSelfAttention):
    def divisor(self, k):
        return math.sqrt(self.n_embd)


class CausalAfterSoftmax(CausalSelfAttention):
    def weights(self, att, T):
        return F.softmax(att, dim=-1).masked_fill(self.bias[:, :, :T, :T] == 0, 0.0)


class Head(nn.Module):
    """One causal head."""

    def __init__(self, head_size, n_embd, block_size, dropout):
        super().__init__()
        self.key = nn.Linear(n_embd, head_size, bias=False)
        self.query = nn.Linear(n_embd, head_size, bias=False)
        self.value = nn.Linear(n_embd, head_size, bias=False)
        self.register_buffer("tril", torch.tril(torch.ones(block_size, block_size)))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        _, T, C = x.shape
        k, q = self.key(x), self.query(x)
        wei = q @ k.transpose(-2, -1) * self.scale(k, C)
        wei = wei.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        return self.dropout(F.softmax(wei, dim=-1)) @ self.value(x)

    def scale(self, k, C):
        return k.shape[-1] ** -0.5


class HeadModelWidth(Head):
    def scale(self, k, C):
        return C**-0.5


class ManyHeads(nn.Module):
    """A list of heads, concatenated."""

    head = Head

    def __init__(self, num_heads, head_size, n_embd=12, block_size=16, dropout=0.2):
        super().__init__()
        self.heads = nn.ModuleList([self.head(head_size, n_embd, block_size, dropout) for _ in range(num_heads)])
        self.proj = nn.Linear(head_size * num_heads, n_embd)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.proj(torch.cat([h(x) for h in self.heads], dim=-1)))


class ManyHeadsModelWidth(ManyHeads):
    head = HeadModelWidth


class AnnotatedAttention(nn.Module):
    """Four linear layers in a list; a mask of ones and zeros."""

    def __init__(self, h, d_model, dropout=0.1):
        super().__init__()
        self.d_k, self.h = d_model // h, h
        self.linears = nn.ModuleList([nn.Linear(d_model, d_model) for _ in range(4)])
        self.attn, self.dropout = None, nn.Dropout(p=dropout)

    def forward(self, query, key, value, mask=None):
        if mask is not None:
            mask = mask.unsqueeze(1)
        n = query.size(0)
        query, key, value = (
            lin(x).view(n, -1, self.h, self.d_k).transpose(1, 2)
            for lin, x in zip(self.linears, (query, key, value), strict=False)
        )
        scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(self.d_k)
        if mask is not None:
            scores = self.hide(scores, mask)
        self.attn = scores.softmax(dim=-1)
        x = torch.matmul(self.dropout(self.attn), value)
        return self.linears[-1](x.transpose(1, 2).contiguous().view(n, -1, self.h * self.d_k))

    def hide(self, scores, mask):
        return scores.masked_fill(mask == 0, -1e9)


class AnnotatedMaskDiscarded(AnnotatedAttention):
    def hide(self, scores, mask):
        scores.masked_fill(mask == 0, -1e9)
        return scores


class SharedSmallProjection(nn.Module):
    """The tokens are split first, and every head is projected with the same small matrix."""

    def __init__(self, embed_size, heads):
        super().__init__()
        self.embed_size, self.heads, self.head_dim = embed_size, heads, embed_size // heads
        self.values = nn.Linear(self.head_dim, self.head_dim, bias=False)
        self.keys = nn.Linear(self.head_dim, self.head_dim, bias=False)
        self.queries = nn.Linear(self.head_dim, self.head_dim, bias=False)
        self.fc_out = nn.Linear(heads * self.head_dim, embed_size)

    def forward(self, values, keys, query, mask):
        n, value_len, key_len, query_len = query.shape[0], values.shape[1], keys.shape[1], query.shape[1]
        values = self.values(values.reshape(n, value_len, self.heads, self.head_dim))
        keys = self.keys(keys.reshape(n, key_len, self.heads, self.head_dim))
        queries = self.queries(query.reshape(n, query_len, self.heads, self.head_dim))
        energy = torch.einsum("nqhd,nkhd->nhqk", [queries, keys])
        if mask is not None:
            energy = energy.masked_fill(mask == 0, float("-1e20"))
        attention = torch.softmax(energy / self.divisor(), dim=3)
        out = torch.einsum("nhql,nlhd->nqhd", [attention, values]).reshape(n, query_len, self.heads * self.head_dim)
        return self.fc_out(out)

    def divisor(self):
        return self.head_dim**0.5


class SharedModelWidth(SharedSmallProjection):
    def divisor(self):
        return self.embed_size ** (1 / 2)


class RawParameters(nn.Module):
    """Matrices (in, out) as bare parameters, tokens without a batch."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.W_query = nn.Parameter(torch.rand(d_in, d_out))
        self.W_key = nn.Parameter(torch.rand(d_in, d_out))
        self.W_value = nn.Parameter(torch.rand(d_in, d_out))

    def forward(self, x):
        keys, queries, values = x @ self.W_key, x @ self.W_query, x @ self.W_value
        return torch.softmax(queries @ keys.T / keys.shape[-1] ** 0.5, dim=-1) @ values


class HeadStack(nn.Module):
    """Parameters with a head axis: W_Q (H, D, d), b_Q (H, d), W_O (H, d, D); causal."""

    def __init__(self, n_heads, d_model, d_head):
        super().__init__()
        self.W_Q, self.W_K, self.W_V = (nn.Parameter(torch.randn(n_heads, d_model, d_head)) for _ in range(3))
        self.W_O = nn.Parameter(torch.randn(n_heads, d_head, d_model))
        self.b_Q, self.b_K, self.b_V = (nn.Parameter(torch.zeros(n_heads, d_head)) for _ in range(3))
        self.b_O = nn.Parameter(torch.zeros(d_model))
        self.register_buffer("IGNORE", torch.tensor(-1e5))

    def forward(self, normalized_resid_pre):
        x = normalized_resid_pre
        q, k, v = (
            torch.einsum("bpm,nmh->bpnh", x, W) + b
            for W, b in ((self.W_Q, self.b_Q), (self.W_K, self.b_K), (self.W_V, self.b_V))
        )
        scores = torch.einsum("bqnh,bknh->bnqk", q, k) / q.shape[-1] ** 0.5
        later = torch.triu(torch.ones(scores.size(-2), scores.size(-1)), diagonal=1).bool()
        pattern = scores.masked_fill(later, self.IGNORE).softmax(-1)
        z = torch.einsum("bknh,bnqk->bqnh", v, pattern)
        return torch.einsum("bqnh,nhm->bqm", z, self.W_O) + self.b_O


class HeadsThenParts(nn.Module):
    """A fused projection whose rows are (H, 3, d)."""

    def __init__(self, input_dim, embed_dim, num_heads):
        super().__init__()
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.qkv_proj = nn.Linear(input_dim, 3 * embed_dim)
        self.o_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x, mask=None, return_attention=False):
        b, n, _ = x.size()
        qkv = self.qkv_proj(x).reshape(b, n, self.num_heads, 3 * self.head_dim).permute(0, 2, 1, 3)
        q, k, v = qkv.chunk(3, dim=-1)
        logits = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.size()[-1])
        if mask is not None:
            logits = logits.masked_fill(mask == 0, -9e15)
        attention = F.softmax(logits, dim=-1)
        out = self.o_proj(torch.matmul(attention, v).permute(0, 2, 1, 3).reshape(b, n, self.embed_dim))
        return (out, attention) if return_attention else out


class TimeFirst(nn.Module):
    """Input of shape (time, batch, channels), heads folded into the batch, a padding mask whose True hides."""

    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.scaling = self.head_dim**-0.5
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(3))
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, query, key, value, key_padding_mask=None):
        """Input shape: Time x Batch x Channel."""
        tgt_len, bsz, embed_dim = query.size()
        src_len = key.size(0)
        q = (self.q_proj(query) * self.scaling).view(tgt_len, bsz * self.num_heads, self.head_dim).transpose(0, 1)
        k = self.k_proj(key).view(src_len, bsz * self.num_heads, self.head_dim).transpose(0, 1)
        v = self.v_proj(value).view(src_len, bsz * self.num_heads, self.head_dim).transpose(0, 1)
        weights = torch.bmm(q, k.transpose(1, 2))
        if key_padding_mask is not None:
            weights = weights.view(bsz, self.num_heads, tgt_len, src_len)
            weights = weights.masked_fill(self.padded(key_padding_mask)[:, None, None, :], float("-inf"))
            weights = weights.view(bsz * self.num_heads, tgt_len, src_len)
        attn = torch.bmm(F.softmax(weights, dim=-1), v)
        return self.out_proj(attn.transpose(0, 1).contiguous().view(tgt_len, bsz, embed_dim)), None

    def padded(self, mask):
        return mask


class TimeFirstInverted(TimeFirst):
    def padded(self, mask):
        return ~mask


class PostNormAttention(nn.Module):
    """A residual connection and a layer norm inside; returns the weights too."""

    def __init__(self, n_head, d_model, d_k, d_v, dropout=0.1):
        super().__init__()
        self.n_head, self.d_k, self.d_v = n_head, d_k, d_v
        self.w_qs = nn.Linear(d_model, n_head * d_k, bias=False)
        self.w_ks = nn.Linear(d_model, n_head * d_k, bias=False)
        self.w_vs = nn.Linear(d_model, n_head * d_v, bias=False)
        self.fc = nn.Linear(n_head * d_v, d_model, bias=False)
        self.dropout, self.layer_norm = nn.Dropout(dropout), nn.LayerNorm(d_model, eps=1e-6)

    def forward(self, q, k, v, mask=None):
        b, len_q, len_k, residual = q.size(0), q.size(1), k.size(1), q
        q = self.w_qs(q).view(b, len_q, self.n_head, self.d_k).transpose(1, 2)
        k = self.w_ks(k).view(b, len_k, self.n_head, self.d_k).transpose(1, 2)
        v = self.w_vs(v).view(b, len_k, self.n_head, self.d_v).transpose(1, 2)
        attn = torch.matmul(q / self.d_k**0.5, k.transpose(2, 3))
        if mask is not None:
            attn = attn.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        attn = F.softmax(attn, dim=-1)
        q = torch.matmul(attn, v).transpose(1, 2).contiguous().view(b, len_q, -1)
        return self.layer_norm(self.dropout(self.fc(q)) + residual), attn


class GroupedRotary(nn.Module):
    """Fewer key heads than query heads, rotary positions of neighbours, causal."""

    def __init__(self, dim, n_heads, n_kv_heads):
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = n_heads, n_kv_heads, dim // n_heads
        self.wq = nn.Linear(dim, n_heads * self.head_dim, bias=False)
        self.wk = nn.Linear(dim, n_kv_heads * self.head_dim, bias=False)
        self.wv = nn.Linear(dim, n_kv_heads * self.head_dim, bias=False)
        self.wo = nn.Linear(n_heads * self.head_dim, dim, bias=False)

    def rotate(self, x):
        n, d = x.shape[-2:]
        angles = torch.outer(torch.arange(n, dtype=x.dtype), 10000.0 ** (-torch.arange(0, d, 2, dtype=x.dtype) / d))
        a, b = x[..., ::2], x[..., 1::2]
        cos, sin = angles.cos(), angles.sin()
        return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)

    def forward(self, x):
        b, n, _ = x.shape
        q = self.wq(x).view(b, n, self.n_heads, self.head_dim).transpose(1, 2)
        k = self.wk(x).view(b, n, self.n_kv_heads, self.head_dim).transpose(1, 2)
        v = self.wv(x).view(b, n, self.n_kv_heads, self.head_dim).transpose(1, 2)
        q, k = self.rotate(q), self.rotate(k)
        k, v = self.repeat(k), self.repeat(v)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.wo(out.transpose(1, 2).reshape(b, n, -1))

    def repeat(self, x):
        return x.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1)


class GroupedTiled(GroupedRotary):
    def repeat(self, x):
        return x.repeat(1, self.n_heads // self.n_kv_heads, 1, 1)


class PixelAttention(nn.Module):
    """Convolutions of size one as projections; a gate and a residual connection."""

    def __init__(self, in_channels):
        super().__init__()
        self.query_conv = nn.Conv2d(in_channels, in_channels // 4, 1)
        self.key_conv = nn.Conv2d(in_channels, in_channels // 4, 1)
        self.value_conv = nn.Conv2d(in_channels, in_channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        b, c, h, w = x.shape
        q = self.query_conv(x).view(b, -1, h * w).permute(0, 2, 1)
        k, v = self.key_conv(x).view(b, -1, h * w), self.value_conv(x).view(b, -1, h * w)
        attention = torch.softmax(torch.bmm(q, k) / self.divisor(q), dim=-1)
        return self.gamma * torch.bmm(v, attention.permute(0, 2, 1)).view(b, c, h, w) + x

    def divisor(self, q):
        return q.shape[-1] ** 0.5


class PixelUnscaled(PixelAttention):
    def divisor(self, q):
        return 1.0


class Wrapped(nn.Module):
    """nn.MultiheadAttention called with the same tokens three times."""

    batch_first = True

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.attn = nn.MultiheadAttention(embed_dim, num_heads, batch_first=self.batch_first)

    def forward(self, x):
        """x: (batch, tokens, features)"""
        return self.attn(x, x, x, need_weights=False)[0]


class WrappedTimeFirst(Wrapped):
    """The batch is taken for the tokens."""

    batch_first = False


class KeysReused(nn.Module):
    """The key projection makes the queries too."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads, self.d_head = n_heads, d_model // n_heads
        self.q_linear, self.k_linear, self.v_linear = (nn.Linear(d_model, d_model) for _ in range(3))
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = (
            lin(x).view(b, n, self.n_heads, self.d_head).transpose(1, 2)
            for lin in (self.k_linear, self.k_linear, self.v_linear)
        )
        p = torch.softmax(q @ k.transpose(-2, -1) / self.d_head**0.5, -1)
        return self.out((p @ v).transpose(1, 2).reshape(b, n, d))


class SplitUnmoved(nn.Module):
    """(B, N, D) viewed as (B, H, N, d)."""

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads, self.d_head = n_heads, d_model // n_heads
        self.Wq, self.Wk, self.Wv, self.Wo = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, x, mask=None):
        b, n, d = x.shape
        q, k, v = (lin(x).view(b, self.n_heads, n, self.d_head) for lin in (self.Wq, self.Wk, self.Wv))
        s = q @ k.transpose(-2, -1) / self.d_head**0.5
        if mask is not None:
            s = s.masked_fill(mask == 0, float("-inf"))
        return self.Wo((torch.softmax(s, -1) @ v).transpose(1, 2).reshape(b, n, d))


class DropoutAlways(SplitUnmoved):
    """Dropout that does not know whether it is trained."""

    def forward(self, x, mask=None):
        b, n, d = x.shape
        q, k, v = (lin(x).view(b, n, self.n_heads, self.d_head).transpose(1, 2) for lin in (self.Wq, self.Wk, self.Wv))
        s = q @ k.transpose(-2, -1) / self.d_head**0.5
        if mask is not None:
            s = s.masked_fill(mask == 0, float("-inf"))
        p = F.dropout(torch.softmax(s, -1), 0.3)
        return self.Wo((p @ v).transpose(1, 2).reshape(b, n, d))


class Block(nn.Module):
    """A transformer block around attention."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(config.n_embd), CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.mlp = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd), nn.GELU(), nn.Linear(4 * config.n_embd, config.n_embd)
        )

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Model(nn.Module):
    """Two blocks."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.wte = nn.Embedding(17, config.n_embd)
        self.layers = nn.ModuleList([Block(config) for _ in range(2)])

    def forward(self, ids):
        x = self.wte(ids)
        for layer in self.layers:
            x = layer(x)
        return x


class LazyWidths(nn.Module):
    """Layers that infer their widths at the first call, and lengths that may be None."""

    root = True

    def __init__(self, num_hiddens, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.LazyLinear(num_hiddens, bias=False) for _ in range(4))

    def forward(self, queries, keys, values, valid_lens):
        q, k, v = (
            layer(a).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, a in ((self.W_q, queries), (self.W_k, keys), (self.W_v, values))
        )
        s = q @ k.transpose(-2, -1) / (q.shape[-1] ** 0.5 if self.root else 1.0)
        if valid_lens is not None:
            s = s.masked_fill(torch.arange(k.shape[2]) >= valid_lens[:, None, None, None], -1e9)
        return self.W_o((s.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))


class LazyUnscaled(LazyWidths):
    root = False


class SlicesOfFeatures(nn.Module):
    """Each head has matrices for its own slice of the tokens; the items are looped over."""

    def __init__(self, d=12, n_heads=3):
        super().__init__()
        self.n_heads, self.d_head = n_heads, d // n_heads
        self.q_mappings = nn.ModuleList([nn.Linear(self.d_head, self.d_head) for _ in range(n_heads)])
        self.k_mappings = nn.ModuleList([nn.Linear(self.d_head, self.d_head) for _ in range(n_heads)])
        self.v_mappings = nn.ModuleList([nn.Linear(self.d_head, self.d_head) for _ in range(n_heads)])

    def scale(self):
        return self.d_head**0.5

    def forward(self, sequences):
        result = []
        for sequence in sequences:
            heads = []
            for h in range(self.n_heads):
                part = sequence[:, h * self.d_head : (h + 1) * self.d_head]
                q, k, v = self.q_mappings[h](part), self.k_mappings[h](part), self.v_mappings[h](part)
                heads.append((q @ k.T / self.scale()).softmax(dim=-1) @ v)
            result.append(torch.hstack(heads))
        return torch.stack(result)


class SlicesModelWidth(SlicesOfFeatures):
    def scale(self):
        return (self.n_heads * self.d_head) ** 0.5


class BatchNormFirst(nn.Module):
    """A batch norm of the features before attention."""

    def __init__(self, channels=12, heads=3):
        super().__init__()
        self.bn, self.heads = nn.BatchNorm1d(channels), heads
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def scale(self, width):
        return width**-0.5

    def forward(self, x):
        B, N, C = x.shape
        x = self.bn(x.transpose(1, 2)).transpose(1, 2)
        q, k, v = self.qkv(x).view(B, N, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        p = (q @ k.transpose(-2, -1) * self.scale(q.shape[-1])).softmax(dim=-1)
        return self.proj((p @ v).transpose(1, 2).reshape(B, N, C))


class BatchNormUnscaled(BatchNormFirst):
    def scale(self, width):
        return 1.0


class BucketsOfDistances(nn.Module):
    """A learned bias for each distance; it is not causal, unlike others in this file."""

    def __init__(self, d_model=12, num_heads=3, num_buckets=8):
        super().__init__()
        self.num_heads, self.num_buckets = num_heads, num_buckets
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model, bias=False) for _ in range(4))
        self.relative_attention_bias = nn.Embedding(num_buckets, num_heads)

    def forward(self, hidden_states):
        B, N, D = hidden_states.shape
        q, k, v = (w(hidden_states).view(B, N, self.num_heads, -1).transpose(1, 2) for w in (self.q, self.k, self.v))
        distance = torch.arange(N)[None] - torch.arange(N)[:, None]
        bias = self.relative_attention_bias((distance + self.num_buckets // 2).clamp(0, self.num_buckets - 1))
        p = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + bias.permute(2, 0, 1)).softmax(dim=-1)
        return self.o((p @ v).transpose(1, 2).reshape(B, N, D))


class LatentsToTokens(nn.Module):
    """Latents that attend to the tokens and to themselves."""

    def __init__(self, dim=12, heads=3):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_kv = nn.Linear(dim, dim, bias=False), nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x, latents):
        q, (k, v) = self.to_q(latents), self.to_kv(torch.cat([x, latents], dim=1)).chunk(2, dim=-1)
        q, k, v = (a.unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in (q, k, v))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class NarrowQueries(nn.Module):
    """Attention of pixels with an eighth of the features as queries and keys."""

    def __init__(self, in_dim=16):
        super().__init__()
        self.query_conv, self.key_conv = nn.Conv2d(in_dim, in_dim // 8, 1), nn.Conv2d(in_dim, in_dim // 8, 1)
        self.value_conv, self.gamma = nn.Conv2d(in_dim, in_dim, 1), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        q, k, v = (conv(x).flatten(2).transpose(1, 2) for conv in (self.query_conv, self.key_conv, self.value_conv))
        o = (q @ k.transpose(1, 2)).softmax(dim=-1) @ v
        return self.gamma * o.transpose(1, 2).reshape(x.shape) + x


class NarrowQueriesOfSagan(NarrowQueries):
    """A non-local block as in SAGAN."""


class LengthsRequired(nn.Module):
    """Attention over the first tokens of each item, as many as the item has."""

    def __init__(self, width=12, heads=3):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x, lengths):
        hidden = self.hidden(torch.arange(x.size(1))[None], lengths[:, None])
        return self.attention(x, x, x, key_padding_mask=hidden, need_weights=False)[0]

    def hidden(self, position, length):
        return position >= length


class LengthsRequiredLate(LengthsRequired):
    def hidden(self, position, length):
        return position > length


HEADS = 3
W_QKV, W_OUT = nn.Linear(12, 36, bias=False), nn.Linear(12, 12, bias=False)


def mix_with_variables(x, values=2):
    """Attention with layers that are variables of this file."""
    B, N, D = x.shape
    parts = [part.view(B, N, HEADS, D // HEADS).transpose(1, 2) for part in W_QKV(x).chunk(3, dim=-1)]
    p = (parts[0] @ parts[1].transpose(-2, -1) / (D // HEADS) ** 0.5).softmax(dim=-1)
    return W_OUT((p @ parts[values]).transpose(1, 2).reshape(B, N, D))


def mix_keys_with_variables(x):
    return mix_with_variables(x, values=1)


class ComplexRotations(nn.Module):
    """Rotary positions as complex numbers in a buffer, as in Llama's own code."""

    def __init__(self, dim=24, n_heads=4, most=32):
        super().__init__()
        self.n_heads, self.hd = n_heads, dim // n_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim, bias=False) for _ in range(4))
        turns = torch.outer(torch.arange(most), 10000.0 ** (-torch.arange(0, self.hd, 2) / self.hd)).float()
        self.register_buffer("turns", torch.polar(torch.ones_like(turns), turns))

    def rotate(self, x):
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())
        return torch.view_as_real(pairs * self.turns[: x.shape[1], None]).flatten(-2)

    def forward(self, x):
        q, k, v = (w(x).unflatten(-1, (self.n_heads, self.hd)) for w in (self.wq, self.wk, self.wv))
        q, k, v = (t.transpose(1, 2) for t in (self.rotate(q), self.rotate(k), v))
        o = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.wo(o.transpose(1, 2).flatten(2))
