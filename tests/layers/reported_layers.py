"""Attention layers of torch like those of public reports: names of papers, grids, one query, configurations."""

from dataclasses import dataclass

import torch
from torch import nn


class PaperMultiQuery(nn.Module):
    """The names and shapes of the paper on multi-query attention: each of P_q and P_o is (heads, width, head width)."""

    def __init__(self, d, h):
        super().__init__()
        self.P_q, self.P_o = (nn.Parameter(torch.randn(h, d, d // h)) for _ in range(2))
        self.P_k, self.P_v = (nn.Parameter(torch.randn(d, d // h)) for _ in range(2))

    def forward(self, x, m):
        q = torch.einsum("bnd,hdk->bhnk", x, self.P_q)
        weights = (torch.einsum("bhnk,bmk->bhnm", q, m @ self.P_k) / self.root(x, q)).softmax(-1)
        return torch.einsum("bhnk,hdk->bnd", torch.einsum("bhnm,bmk->bhnk", weights, m @ self.P_v), self.P_o)

    def root(self, x, q):
        return q.shape[-1] ** 0.5


class PaperMultiQueryOfModelWidth(PaperMultiQuery):
    def root(self, x, q):
        return x.shape[-1] ** 0.5


class GroupsOfOnnx(nn.Module):
    """The numbers of heads under the names of ONNX, and a rotation by the cosines of a table, without a name for it."""

    def __init__(self, hidden, q_num_heads, kv_num_heads):
        super().__init__()
        self.hq, self.hkv, self.d = q_num_heads, kv_num_heads, hidden // q_num_heads
        self.wq, self.wo = nn.Linear(hidden, hidden, bias=False), nn.Linear(hidden, hidden, bias=False)
        self.wk, self.wv = (nn.Linear(hidden, self.hkv * self.d, bias=False) for _ in range(2))
        f = torch.outer(torch.arange(64.0), 500000.0 ** (-torch.arange(0, self.d, 2) / self.d))
        self.register_buffer("f", torch.cat((f, f), -1))

    def turn(self, t):
        f = self.f[: t.size(-2)]
        a, b = t.chunk(2, -1)
        return t * f.cos() + torch.cat((-b, a), -1) * f.sin()

    def repeat(self, t):
        return t.repeat_interleave(self.hq // self.hkv, 1)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (-1, self.d)).transpose(1, 2) for f in (self.wq, self.wk, self.wv))
        k, v = self.repeat(self.turn(k)), self.repeat(v)
        weights = (self.turn(q) @ k.transpose(-1, -2) / self.d**0.5).softmax(-1)
        return self.wo((weights @ v).transpose(1, 2).flatten(2))


class GroupsOfOnnxTiled(GroupsOfOnnx):
    def repeat(self, t):
        return t.tile(1, self.hq // self.hkv, 1, 1)


class RowsAndColumns(nn.Module):
    """An image whose sides show in the shapes of its tables alone."""

    def __init__(self, channels, heads, rows=3, columns=5):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.rel_h = nn.Parameter(torch.zeros(1, heads, channels // heads, rows, 1))
        self.rel_w = nn.Parameter(torch.zeros(1, heads, channels // heads, 1, columns))

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = (f(x).view(b, self.heads, -1, h * w) for f in (self.query, self.key, self.value))
        position = (self.rel_h + self.rel_w).flatten(3).expand(b, -1, -1, -1)
        weights = (q.transpose(2, 3) @ (k + position) * self.scale(q)).softmax(-1)
        return (v @ weights.transpose(2, 3)).reshape(b, c, h, w)

    def scale(self, q):
        return q.shape[2] ** -0.5


class RowsAndColumnsUnscaled(RowsAndColumns):
    def scale(self, q):
        return 1.0


class ClassToken(nn.Module):
    """One class token attends to itself and to the patches, which come first."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        self.q, self.k, self.v, self.proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x, x_cls):
        u = torch.cat((x_cls, x), dim=1)
        k, v = (f(u).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.k, self.v))
        q = self.q(x_cls).reshape(len(x), 1, self.num_heads, -1).transpose(1, 2) * self.scale
        out = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return self.proj(out.transpose(1, 2).reshape(len(x), 1, -1))


class ClassTokenMultiplied(ClassToken):
    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.scale = 1 / self.scale


class HeadsBeforeBatch(nn.Module):
    """Heads are collected in front of the batch and read as if they stood behind the tokens."""

    def __init__(self, width, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.n_heads, -1)).permute(2, 0, 1, 3) for f in (self.q, self.k, self.v))
        heads = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
        return self.o(heads.reshape(x.shape))


@dataclass
class Sizes:
    dim: int = 32
    n_heads: int = 4
    kv_lora_rank: int = 12
    qk_nope_head_dim: int = 6
    qk_rope_head_dim: int = 4
    v_head_dim: int = 8


class LatentOfSizes(nn.Module):
    """Latent vectors; the number of heads is only in a dataclass that has a name of its own."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.s = s = sizes
        self.wq = nn.Linear(s.dim, s.n_heads * (s.qk_nope_head_dim + s.qk_rope_head_dim), bias=False)
        self.wkv_a = nn.Linear(s.dim, s.kv_lora_rank + s.qk_rope_head_dim, bias=False)
        self.wkv_b = nn.Linear(s.kv_lora_rank, s.n_heads * (s.qk_nope_head_dim + s.v_head_dim), bias=False)
        self.wo = nn.Linear(s.n_heads * s.v_head_dim, s.dim, bias=False)

    def rope(self, t):
        n, d = t.shape[1], t.shape[-1]
        angles = torch.outer(torch.arange(n, dtype=t.dtype), 10000.0 ** (-torch.arange(0, d, 2, dtype=t.dtype) / d))
        cos, sin = angles.cos()[None, :, None], angles.sin()[None, :, None]
        a, b = t[..., 0::2], t[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)

    def forward(self, x):
        s = self.s
        q_plain, q_turned = (
            self.wq(x).unflatten(-1, (s.n_heads, -1)).split([s.qk_nope_head_dim, s.qk_rope_head_dim], -1)
        )
        latent, k_turned = self.wkv_a(x).split([s.kv_lora_rank, s.qk_rope_head_dim], -1)
        k_plain, v = self.wkv_b(latent).unflatten(-1, (s.n_heads, -1)).split([s.qk_nope_head_dim, s.v_head_dim], -1)
        k_turned = self.rope(k_turned[:, :, None]).expand(-1, -1, s.n_heads, -1)
        q, k = torch.cat((q_plain, self.rope(q_turned)), -1), torch.cat((k_plain, k_turned), -1)
        weights = (torch.einsum("bnhd,bmhd->bhnm", q, k) / q.shape[-1] ** 0.5).softmax(-1)
        return self.wo(torch.einsum("bhnm,bmhe->bnhe", weights, v).flatten(2))


class InputsOfKeysFirst(nn.Module):
    """Keys and values come from the first argument, of another width, and queries from the second."""

    def __init__(self, kv_dim, q_dim, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(n, q_dim) for n in (q_dim, kv_dim, kv_dim, q_dim))

    def forward(self, inputs_kv, inputs_q):
        projected = (self.q(inputs_q), self.k(inputs_kv), self.v(inputs_kv))
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in projected)
        weights = (q @ k.transpose(-1, -2) / self.root(q)).softmax(-1)
        return self.o((weights @ v).transpose(1, 2).flatten(2))

    def root(self, q):
        return q.shape[-1] ** 0.5


class InputsOfKeysFirstOfModelWidth(InputsOfKeysFirst):
    def root(self, q):
        return (q.shape[-1] * self.num_heads) ** 0.5


class MaskedGrid(nn.Module):
    """A window of ten by ten tokens with a mask; it counts how often it is called."""

    calls = 0

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.table = nn.Parameter(torch.zeros(num_heads, 100, 100))
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        MaskedGrid.calls += 1
        b, n, _ = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + self.table
        scores = scores if mask is None else scores + mask[:, None]
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class TalkingHeads(nn.Module):
    """Heads are mixed before the softmax by a layer and after it by an array."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.proj_w = nn.Linear(num_heads, num_heads)
        self.mix_heads_post_attn = nn.Parameter(torch.randn(num_heads, num_heads))

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        scores = self.scaled(q @ k.transpose(-1, -2), q.shape[-1])
        weights = self.proj_w(scores.movedim(1, -1)).movedim(-1, 1).softmax(-1)
        weights = torch.einsum("bhnm,hg->bgnm", weights, self.mix_heads_post_attn)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))

    def scaled(self, scores, width):
        return scores / width**0.5


class TalkingHeadsUnscaled(TalkingHeads):
    def scaled(self, scores, width):
        return scores


class Pixels(nn.Module):
    """Attention between pixels whose channels are normalised in groups, with a residual connection."""

    def __init__(self, channels=12, num_heads=3):
        super().__init__()
        self.num_heads, self.norm = num_heads, nn.GroupNorm(4, channels)
        self.qkv, self.proj = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        y = self.norm(x)
        q, k, v = self.qkv(y).flatten(2).unflatten(1, (3, self.num_heads, -1)).unbind(1)  # (B, H, d, N)
        o = (q.mT @ k * q.shape[2] ** -0.5).softmax(-1) @ self.mixed(v, y).mT
        return x + self.proj(self.merged(o).reshape(x.shape))

    def mixed(self, v, y):
        return v

    def merged(self, o):
        return o.mT


class PixelsThemselves(Pixels):
    """The weights mix the pixels, as they are normalised."""

    def mixed(self, v, y):
        return y.flatten(2).unflatten(1, (self.num_heads, -1))


class PixelsUnmoved(Pixels):
    """(H, N, d) is reshaped to (H · d, N)."""

    def merged(self, o):
        return o


class WindowInWords(nn.Module):
    """A token sees sliding_window tokens: its own and those right before it."""

    def __init__(self, dim=12, num_heads=3, sliding_window=3):
        super().__init__()
        self.num_heads, self.sliding_window = num_heads, sliding_window
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(dim, dim) for _ in range(4))

    def before(self):
        return self.sliding_window - 1

    def attended(self, x):
        q, k, v = (
            p(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        lag = torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1])
        s = (self.scale(q) * q @ k.mT).masked_fill((lag < 0) | (lag > self.before()), -torch.inf)
        return (s.softmax(-1) @ v).transpose(1, 2).flatten(2)

    def scale(self, q):
        return q.shape[-1] ** -0.5

    def forward(self, x):
        return self.o_proj(self.attended(x))


class WindowInWordsAndOneMore(WindowInWords):
    def before(self):
        return self.sliding_window


class WindowUnscaledWithoutOutput(WindowInWords):
    """The output layer is made and not applied; that its bias is not either is no mistake of its own."""

    def scale(self, q):
        return 1

    def forward(self, x):
        return self.attended(x)


class Flagged(nn.Module):
    """Causal attention by a fused kernel, or step by step."""

    def __init__(self, dim=12, num_heads=3, flash=True):
        super().__init__()
        self.num_heads, self.flash = num_heads, flash
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if self.flash:
            o = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            s = self.scaled(q @ k.mT, q).masked_fill(torch.ones(x.shape[1], x.shape[1]).triu(1).bool(), -torch.inf)
            o = s.softmax(-1) @ v
        return self.proj(o.transpose(1, 2).flatten(2))

    def scaled(self, s, q):
        return s / q.shape[-1] ** 0.5


class FlaggedUnscaled(Flagged):
    def scaled(self, s, q):
        return s


class BothSides(WindowInWords):
    """A token attends to itself and to `radius` tokens on each side."""

    def __init__(self, dim=12, num_heads=3, radius=2):
        super().__init__(dim, num_heads)
        del self.sliding_window
        self.radius = radius

    def reach(self):
        return self.radius

    def attended(self, x):
        parts = (p(x).unflatten(-1, (self.num_heads, -1)) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (part.transpose(1, 2) for part in parts)
        lag = torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1])
        s = (self.scale(q) * q @ k.mT).masked_fill(lag.abs() > self.reach(), -torch.inf)
        return (s.softmax(-1) @ v).transpose(1, 2).flatten(2)


class BothSidesOneLess(BothSides):
    """A token attends to itself and to `radius` tokens on each side."""

    def reach(self):
        return self.radius - 1
