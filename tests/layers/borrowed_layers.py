"""Attention layers as packages have them: what is optional, set by flags or by the configuration."""

import torch
from torch import nn
from torch.nn import functional as F

from layers.everyday_layers import Fused


class Separate(nn.Module):
    def __init__(self, d_model, n_heads, context_dim=None):
        super().__init__()
        self.n_heads = n_heads
        self.to_q = nn.Linear(d_model, d_model, bias=False)
        self.to_k = nn.Linear(context_dim or d_model, d_model, bias=False)
        self.to_v = nn.Linear(context_dim or d_model, d_model, bias=False)
        self.to_out = nn.Linear(d_model, d_model)

    def heads(self, x, context):
        projected = self.to_q(x), self.to_k(context), self.to_v(context)
        return [a.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for a in projected]

    def mixed(self, q, k, v, **options):
        return self.to_out(F.scaled_dot_product_attention(q, k, v, **options).transpose(1, 2).flatten(2))


class OfTupleOrTokens(Separate):
    def forward(self, x):
        if isinstance(x, tuple):
            query, key, value = x
        else:
            query, key, value = x, x, x
        return self.mixed(self.heads(query, query)[0], *self.heads(key, value)[1:])


class NarrowContext(Separate):
    def __init__(self):
        super().__init__(24, 3, 16)

    def forward(self, x, context=None):
        return self.mixed(*self.heads(x, x if context is None else context))


class FlagOfContext(Separate):
    def __init__(self, d_model, n_heads, is_cross_attn=False):
        super().__init__(d_model, n_heads)
        self.is_cross_attn = is_cross_attn

    def forward(self, x, context=None):
        return self.mixed(*self.heads(x, context if self.is_cross_attn else x))


class FlagOfKeys(Separate):
    def __init__(self, d_model, n_heads, encoder_decoder_attention=False):
        super().__init__(d_model, n_heads)
        self.encoder_decoder_attention = encoder_decoder_attention

    def forward(self, query, key):
        return self.mixed(*self.heads(query, key if self.encoder_decoder_attention else query))


class ContextIgnored(Separate):
    def forward(self, x, context=None):
        return self.mixed(*self.heads(x, x))


class CausalByAttribute(Fused):
    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.causal = True

    def forward(self, x, causal=None):
        return self.mixed(*self.heads(x), is_causal=self.causal if causal is None else causal)


class NamelessFused(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.in_trans, self.after = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        q, k, v = (a.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for a in self.in_trans(x).chunk(3, dim=-1))
        return self.after(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class NormedHeads(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.attn, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.q_norm, self.k_norm = nn.RMSNorm(d_model // n_heads), nn.RMSNorm(d_model // n_heads)

    def forward(self, x):
        q, k, v = (a.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for a in self.attn(x).chunk(3, dim=-1))
        weights = torch.softmax(self.q_norm(q) @ self.k_norm(k).mT, dim=-1)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


class NormedHeadsScale(NormedHeads):
    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.scale = (d_model // n_heads) ** -0.5


class CapOfWords(Fused):
    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.config = {"final_logit_softcapping": 30.0}

    def forward(self, x):
        return self.mixed(*self.heads(x))


class ScaleOfOne(Fused):
    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.scaling = 1.0

    def forward(self, x):
        q, k, v = self.heads(x)
        return self.proj((torch.softmax(q @ k.mT * self.scaling, dim=-1) @ v).transpose(1, 2).flatten(2))


class ColumnsAndResidual(nn.Module):
    def __init__(self, channels=16):
        super().__init__()
        self.query, self.key = nn.Conv1d(channels, channels // 2, 1), nn.Conv1d(channels, channels // 2, 1)
        self.value = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        q, k, v = (a(x).mT for a in (self.query, self.key, self.value))
        return F.scaled_dot_product_attention(q, k, v).mT + x


class AddsPositions(nn.Module):
    def __init__(self, d_model=24, n_heads=3):
        super().__init__()
        self.attn = nn.MultiheadAttention(d_model, n_heads, batch_first=True)

    def forward(self, tgt, memory, pos=None, query_pos=None):
        key = memory if pos is None else memory + pos
        query = tgt if query_pos is None else tgt + query_pos
        return self.attn(query, key, self.values(memory, key))[0]

    def values(self, memory, key):
        return memory


class AddsPositionsToValues(AddsPositions):
    def values(self, memory, key):
        return key


class HalfRotated(Fused):
    """Half of the features of a head rotate, by cosines and sines that are passed; its own name for how many."""

    def forward(self, x, cos, sin):
        q, k, v = self.heads(x)
        return self.mixed(self.turned(q, cos, sin), self.turned(k, cos, sin), v)

    def turned(self, a, cos, sin):
        turning, rest = a.chunk(2, dim=-1)
        first, second = turning.chunk(2, dim=-1)
        return torch.cat([turning * cos + torch.cat([-second, first], dim=-1) * sin, rest], dim=-1)


class Packed(Fused):
    """Tokens (N, D) of one sequence, and angles (N, d), as the vision parts of language models have them."""

    def forward(self, hidden_states, cu_seqlens, position_embeddings=None):
        q, k, v = (a.squeeze(0) for a in self.heads(hidden_states[None]))
        cos, sin = position_embeddings
        q, k = (a * cos + self.turned(a) * sin for a in (q, k))
        segments = torch.searchsorted(cu_seqlens, torch.arange(len(hidden_states)), right=True)
        mask = segments[:, None] == segments
        return self.proj(F.scaled_dot_product_attention(q, k, v, mask).transpose(0, 1).flatten(1))

    def turned(self, a):
        return torch.cat([-a.chunk(2, -1)[1], a.chunk(2, -1)[0]], dim=-1)


class PackedOfNeighbours(Packed):
    """With angles that are repeated for each pair of neighbouring features."""

    def turned(self, a):
        return torch.stack([-a[..., 1::2], a[..., ::2]], dim=-1).flatten(-2)


class NormOfQueriesTwice(Separate):
    """The norm of the keys is made and not used."""

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)
        self.q_norm, self.k_norm = (nn.RMSNorm(d_model // n_heads, eps=1e-6) for _ in range(2))

    def forward(self, x):
        q, k, v = self.heads(x, x)
        return self.mixed(self.q_norm(q), self.q_norm(k), v)


class NormsNotUsed(NormOfQueriesTwice):
    def forward(self, x):
        return self.mixed(*self.heads(x, x))


class DropsWhereLong(Separate):
    """Its code has a branch for more tokens than a few, with dropout outside of training."""

    def __init__(self, d_model, n_heads, block_size=64, dropout=0.1):
        super().__init__(d_model, n_heads)
        self.block_size, self.dropout = block_size, dropout

    def forward(self, x):
        return self.mixed(*self.heads(x, x), dropout_p=self.dropout if self.block_size > 32 else 0.0)


class NamelessGroups(nn.Module):
    """Queries, keys and values of each group fused, as in LitGPT; `tiled` repeats its keys in a wrong order."""

    def __init__(self, n_embd=48, n_head=6, n_query_groups=2, tiled=False):
        super().__init__()
        self.groups, self.width, self.tiled = n_query_groups, n_embd // n_head, tiled
        self.attn = nn.Linear(n_embd, (n_head + 2 * n_query_groups) * self.width, bias=False)
        self.proj = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x):
        fused = self.attn(x).unflatten(-1, (self.groups, -1, self.width)).transpose(1, 2)  # (B, G, N, H/G + 2, d)
        repeats = fused.shape[3] - 2
        q, k, v = fused.split((repeats, 1, 1), dim=3)
        q, k, v = q.transpose(2, 3).flatten(1, 2), k.squeeze(3), v.squeeze(3)
        k = k.repeat(1, repeats, 1, 1) if self.tiled else k.repeat_interleave(repeats, dim=1)
        o = F.scaled_dot_product_attention(q, k, v.repeat_interleave(repeats, dim=1))
        return self.proj(o.transpose(1, 2).flatten(2))


class TiledGroups(NamelessGroups):
    def __init__(self, n_embd=48, n_head=6, n_query_groups=2):
        super().__init__(n_embd, n_head, n_query_groups, tiled=True)


class MaskOfTargets(Separate):
    def forward(self, x, adj):  # adj[n, m] is read as adj[m, n], so that rows without any key give NaN
        q, k, v = self.heads(x, x)
        logits = q @ k.mT / q.shape[-1] ** 0.5
        p = logits.masked_fill(adj.mT.unsqueeze(1) == 0, float("-inf")).softmax(dim=-1)
        return self.to_out((p @ v).transpose(1, 2).flatten(2))


class RotaryWithoutContext(Separate):
    """Rotary positions where keys are of the same tokens as queries, as in the decoder of Moonshine."""

    factor = 1.0

    def forward(self, hidden_states, position_embeddings=None, key_value_states=None):
        q, k, v = self.heads(hidden_states, hidden_states if key_value_states is None else key_value_states)
        if key_value_states is None:
            cos, sin = position_embeddings
            q, k = (a * cos + torch.cat([-a.chunk(2, -1)[1], a.chunk(2, -1)[0]], dim=-1) * sin for a in (q, k))
        return self.mixed(q * self.factor, k, v)


class RotaryWithoutContextScaledTwice(RotaryWithoutContext):
    factor = 0.5
