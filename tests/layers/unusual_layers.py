"""Attention layers of torch that take masks, angles or parts of their own in unusual forms, or convert types."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


class Base(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def projected(self, x):
        return [a.unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, dim=-1)]

    def forward(self, x):
        q, k, v = self.projected(x)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class MaskObject(Base):
    """`mask.mask` is True at hidden keys (B, 1, N, N)."""

    def forward(self, x, mask=None):
        q, k, v = self.projected(x)
        o = F.scaled_dot_product_attention(q, k, v, None if mask is None else self.visible(mask.mask))
        return self.proj(o.transpose(1, 2).flatten(2))

    def visible(self, hidden):
        return ~hidden


class MaskObjectIgnored(MaskObject):
    def visible(self, hidden):
        return torch.ones_like(hidden)


class Inner(nn.Module):
    """Queries, keys and values are (B, N, H, d); `attn_mask.mask` is True at hidden keys, the later ones by default."""

    def __init__(self, scale=None):
        super().__init__()
        self.scale = scale

    def forward(self, queries, keys, values, attn_mask, tau=None, delta=None):
        logits = torch.einsum("blhe,bshe->bhls", queries, keys) * self.factor(queries.shape[-1])
        late = torch.ones(logits.shape[-2:], dtype=torch.bool).triu(1)
        hidden = late if attn_mask is None else attn_mask.mask
        return torch.einsum("bhls,bshd->blhd", torch.softmax(logits.masked_fill(hidden, -torch.inf), -1), values)

    def factor(self, width):
        return self.scale or width**-0.5


class InnerUnscaled(Inner):
    def factor(self, width):
        return 1.0


class OtherForm(Base):
    def __init__(self, dim, heads, positions="absolute"):
        super().__init__(dim, heads)
        self.positions = positions

    def forward(self, x, relative_bias=None):
        q, k, v = self.projected(x)
        if self.positions == "relative":
            o = F.scaled_dot_product_attention(q, k, v, relative_bias)
        else:
            o = F.scaled_dot_product_attention(q, k, v)
        return self.proj(o.transpose(1, 2).flatten(2))


class OnlyInTraining(Base):
    def forward(self, x, mask=None):
        q, k, v = self.projected(x)
        hidden = None
        if self.training:
            hidden = mask
        return self.proj(F.scaled_dot_product_attention(q, k, v, hidden).transpose(1, 2).flatten(2))


class FloatNextToBuffer(Base):
    def __init__(self, dim, heads):
        super().__init__(dim, heads)
        self.register_buffer("one", torch.ones(1))

    def forward(self, x):
        q, k, v = (a.float() for a in self.projected(x))
        o = F.scaled_dot_product_attention(q * self.one, k * self.one, v, scale=self.scale)
        return self.proj(o.to(x.dtype).transpose(1, 2).flatten(2))

    scale = None


class FloatNextToBufferUnscaled(FloatNextToBuffer):
    scale = 1.0


class TypeOfDevice(Base):
    def forward(self, x):
        q, k, v = self.projected(x)
        o = torch.cuda.FloatTensor(*q.shape).fill_(0)
        o[:] = F.scaled_dot_product_attention(q, k, v)
        return self.proj(o.transpose(1, 2).flatten(2))


class CallsItsDropout(Base):
    def __init__(self, dim, heads, dropout: nn.Module):
        super().__init__(dim, heads)
        self.dropout = dropout

    def forward(self, x):
        q, k, v = self.projected(x)
        weights = self.dropout(torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1))
        return self.proj((weights @ v).transpose(1, 2).flatten(2))


@dataclass
class Args:
    dim: int = 512
    n_head: int = 8
    n_local_heads: int = 2


class LocalHeads(nn.Module):
    """`angles` are cosines and sines (N, d/2, 2)."""

    def __init__(self, config: Args):
        super().__init__()
        self.n_head, self.n_local_heads = config.n_head, config.n_local_heads
        self.width = config.dim // config.n_head
        self.wqkv = nn.Linear(config.dim, (config.n_head + 2 * config.n_local_heads) * self.width, bias=False)
        self.wo = nn.Linear(config.dim, config.dim, bias=False)

    def rotated(self, x, angles):
        pairs = x.unflatten(-1, (-1, 2))
        cos, sin = angles.view(1, x.shape[1], 1, pairs.shape[3], 2).unbind(-1)
        a, b = pairs.unbind(-1)
        return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(3)

    def repeated(self, x):
        return x.repeat_interleave(self.n_head // self.n_local_heads, dim=2)

    def forward(self, x, freqs_cis):
        heads = self.wqkv(x).unflatten(-1, (-1, self.width))
        q, k, v = heads.split([self.n_head, self.n_local_heads, self.n_local_heads], dim=2)
        streams = self.rotated(q, freqs_cis), self.repeated(self.rotated(k, freqs_cis)), self.repeated(v)
        o = F.scaled_dot_product_attention(*(a.transpose(1, 2) for a in streams))
        return self.wo(o.transpose(1, 2).flatten(2))


class LocalHeadsTiled(LocalHeads):
    def repeated(self, x):
        return x.repeat(1, 1, self.n_head // self.n_local_heads, 1)


class NormOverTokens(nn.Module):
    """Each channel of the image is normalised by itself, so that it is zero on average over the tokens."""

    def __init__(self):
        super().__init__()
        channels = 32
        self.norm = nn.GroupNorm(channels, channels)
        self.q, self.k, self.v, self.proj = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(self.norm(x)).flatten(2).mT for f in (self.q, self.k, self.v))
        weights = self.weights(q @ k.mT / q.shape[-1] ** 0.5)
        return x + self.proj((weights @ v).mT.unflatten(-1, x.shape[2:]))

    def weights(self, logits):
        return torch.softmax(logits, dim=-1)


class NormOverTokensOverQueries(NormOverTokens):
    def weights(self, logits):
        return torch.softmax(logits, dim=-2)


class PastOfTokens(nn.Module):
    """`past` is (keys, values) of earlier tokens (B, M, D), which have no heads yet."""

    def __init__(self, heads, dims):
        super().__init__()
        self.heads = heads
        self.proj_q, self.proj_k, self.proj_v, self.linear = (nn.Linear(dims, dims) for _ in range(4))

    def forward(self, q, k, v, past=None):
        q, k, v = self.proj_q(q), self.proj_k(k), self.proj_v(v)
        if past is not None:
            k, v = torch.cat((past[0], k), dim=-2), self.joined(past[1], v)
        heads = (a.unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in (q, k, v))
        return self.linear(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)), (k, v)

    def joined(self, earlier, new):
        return torch.cat((earlier, new), dim=-2)


class PastOfTokensInTurn(PastOfTokens):
    def joined(self, earlier, new):
        return torch.cat((new, earlier), dim=-2)


class CachedMask(Base):
    """`mask` is added, (N, N) or (N, M) next to earlier keys, which `past` holds and which are returned."""

    def forward(self, x, mask=None, past=None):
        q, k, v = self.projected(x)
        if past:
            k, v = torch.cat((past["k"], k), dim=-2), torch.cat((past["v"], v), dim=-2)
        logits = q @ k.mT / q.shape[-1] ** 0.5
        logits = logits if mask is None else self.masked(logits, mask)
        o = torch.softmax(logits, dim=-1) @ v
        return self.proj(o.transpose(1, 2).flatten(2)), {"k": k, "v": v}

    def masked(self, logits, mask):
        return logits + mask


class CachedMaskMoved(CachedMask):
    def masked(self, logits, mask):
        return logits + mask.roll(1 if mask.shape[-1] > mask.shape[-2] else 0, dims=-1)


class FlagUnread(Base):
    def __init__(self, dim, heads, causal=True):
        super().__init__(dim, heads)
        self.causal = causal


class FlatPositions(Base):
    """Complex angles (N, d/2), and positions (N,), which have to be passed."""

    def forward(self, x, freqs_cis, positions):
        assert positions.shape == x.shape[1:2]
        q, k, v = self.projected(x)
        q, k = (self.rotated(a, freqs_cis[positions - positions[0]]) for a in (q, k))
        return self.proj((self.weights(q, k) @ v).transpose(1, 2).flatten(2))

    def rotated(self, a, angles):
        return torch.view_as_real(torch.view_as_complex(a.unflatten(-1, (-1, 2)).contiguous()) * angles).flatten(-2)

    def weights(self, q, k):
        assert q.ndim == 4
        return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)


class FlatPositionsUnscaled(FlatPositions):
    def weights(self, q, k):
        return torch.softmax(q @ k.mT, dim=-1)


class KeyDistances(Base):
    """Each distance of a key has a learned vector, which is added to the key."""

    def __init__(self, dim, heads):
        super().__init__(dim, heads)
        self.distances_table = nn.Parameter(torch.randn(9, dim // heads))

    def forward(self, x):
        q, k, v = self.projected(x)
        places = torch.arange(x.shape[1])
        distances = self.distances_table[(places - places[:, None]).clamp(-4, 4) + 4]
        logits = (q @ k.mT + self.of_distances(q, distances)) / q.shape[-1] ** 0.5
        return self.proj((torch.softmax(logits, dim=-1) @ v).transpose(1, 2).flatten(2))

    def of_distances(self, q, distances):
        return torch.einsum("bhnd,nmd->bhnm", q, distances)


class KeyDistancesOfOtherItems(KeyDistances):
    def of_distances(self, q, distances):
        b, h, n, d = q.shape
        return (q.reshape(n, b * h, d) @ distances.mT).transpose(0, 1).reshape(b, h, n, n)


class CausalSelfAttention(Base):
    """attention_mask: [bs, 1, 1, seq_len], added to the logits."""

    def forward(self, x, attention_mask):
        q, k, v = self.projected(x)
        logits = q @ k.mT / q.shape[-1] ** 0.5
        later = torch.ones(logits.shape[-2:], dtype=torch.bool).triu(1)
        p = torch.softmax(self.masked(logits, logits.masked_fill(later, -1e9), attention_mask), dim=-1)
        return self.proj((p @ v).transpose(1, 2).flatten(2))

    def masked(self, logits, causal, mask):
        return causal + mask


class CausalSelfAttentionLost(CausalSelfAttention):
    def masked(self, logits, causal, mask):
        return logits + mask


class NeedsAddedMask(Base):
    def forward(self, x, attention_mask):
        q, k, v = self.projected(x)
        logits = self.products(q, k) / q.shape[-1] ** 0.5
        p = torch.softmax(logits + attention_mask, dim=-1)
        return self.proj((p @ v).transpose(1, 2).flatten(2))

    def products(self, q, k):
        return q @ k.mT


class NeedsAddedMaskReshaped(NeedsAddedMask):
    def products(self, q, k):
        b, h, n, d = k.shape
        return q @ k.reshape(b, h, d, n)


class TableOfAngles(nn.Module):
    """A table (M, d / 2, 2) of cosines and sines that is passed as `rope`."""

    def __init__(self, dim, n_head):
        super().__init__()
        self.n_head = n_head
        self.wqkv, self.wo = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def turned(self, x, rope):
        x = x.unflatten(-1, (-1, 2))
        cos, sin = rope[: x.shape[2], :, 0], rope[: x.shape[2], :, 1]
        return torch.stack([x[..., 0] * cos - x[..., 1] * sin, x[..., 1] * cos + x[..., 0] * sin], -1).flatten(-2)

    def keys(self, k, rope):
        return self.turned(k, rope)

    def forward(self, x, rope):
        q, k, v = (t.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for t in self.wqkv(x).chunk(3, -1))
        p = (self.turned(q, rope) @ self.keys(k, rope).mT / q.shape[-1] ** 0.5).softmax(-1)
        return self.wo((p @ v).transpose(1, 2).flatten(2))


class TableOfAnglesOneSide(TableOfAngles):
    def keys(self, k, rope):
        return k
