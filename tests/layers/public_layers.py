"""Attention layers of torch in the styles of public repositories: vision, speech and decoders."""

import torch
import torch.nn.functional as F
from torch import nn


class Separate(nn.Module):
    """Separate projections, and what differs from layer to layer as methods."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def split(self, x):
        return x.view(x.shape[0], -1, self.num_heads, self.head_dim).transpose(1, 2)

    def projected(self, x):
        return self.split(self.q_proj(x)), self.split(self.k_proj(x)), self.split(self.v_proj(x))

    def merged(self, x):
        return self.out_proj(x.transpose(1, 2).flatten(2))

    def weights(self, q, k):
        return (q @ k.transpose(-1, -2) / self.head_dim**0.5).softmax(-1)


class ClassAttention(Separate):
    """Only the first token asks."""

    def forward(self, x):
        q, k, v = self.projected(x)
        return self.merged(self.weights(q[:, :, :1], k) @ v)


class ClassUnscaled(ClassAttention):
    def weights(self, q, k):
        return (q @ k.transpose(-1, -2)).softmax(-1)


class HalfAngles(Separate):
    """Cosines and sines of half the width, as arguments."""

    def forward(self, x, freqs_cos, freqs_sin):
        q, k, v = self.projected(x)
        return self.merged(self.weights(self.turn(q, freqs_cos, freqs_sin), self.turn(k, freqs_cos, freqs_sin)) @ v)

    def turn(self, x, cos, sin):
        a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


class PlanePositions(Separate):
    """Rotary positions in two dimensions, on a grid of four columns, with a base of its own."""

    def forward(self, x):
        q, k, v = self.projected(x)
        return self.merged(self.weights(self.turn(q), self.turn_keys(k)) @ v)

    def turn(self, x):
        n, d = x.shape[-2:]
        step = 100.0 ** (-torch.arange(d // 4) * 4 / d)
        place = torch.arange(n)
        angles = torch.cat([(place % 4)[:, None] * step, (place // 4)[:, None] * step], -1)
        a, b = x.chunk(2, -1)
        return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)

    turn_keys = turn


class PlaneOfQueries(PlanePositions):
    """The keys are not rotated."""

    def turn_keys(self, x):
        return x


class PlaneUnscaled(PlanePositions):
    def weights(self, q, k):
        return (q @ k.transpose(-1, -2)).softmax(-1)


class PlaneBroken(PlanePositions):
    """A sign is lost: no rotation any more."""

    def turn(self, x):
        a, b = x.chunk(2, -1)
        return super().turn(torch.cat([a, b.abs()], -1))

    turn_keys = turn


class NormsOfAllHeads(Separate):
    """Queries and keys are normalised before the heads are apart."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.q_norm, self.k_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x):
        q, k = self.split(self.q_norm(self.q_proj(x))), self.split(self.k_norm(self.k_proj(x)))
        return self.merged(self.weights(q, k) @ self.split(self.v_proj(x)))


class PastKeys(Separate):
    """Causal; keys and values of earlier tokens are two arguments."""

    def forward(self, x, past_k=None, past_v=None):
        q, k, v = self.projected(x)
        if past_k is not None:
            k, v = torch.cat([past_k, k], 2), torch.cat([past_v, v], 2)
        hidden = self.hidden(q.shape[2], k.shape[2])
        s = (q @ k.transpose(-1, -2) / self.head_dim**0.5).masked_fill(hidden, -torch.inf)
        return self.merged(s.softmax(-1) @ v)

    def hidden(self, n, m):
        return torch.ones(n, m, dtype=torch.bool).triu(m - n + 1)


class PastUnaligned(PastKeys):
    """The last token sees the first key only."""

    def hidden(self, n, m):
        return torch.ones(n, m, dtype=torch.bool).triu(1)


class WithLogits(Separate):
    """Returns its logits too, under their name."""

    def forward(self, x, mask=None):
        q, k, v = self.projected(x)
        qk = q @ k.transpose(-1, -2) / self.head_dim**0.5
        if mask is not None:
            qk = qk + mask
        return self.merged(qk.softmax(-1) @ v), qk.detach()


class AsWeights(WithLogits):
    """Returns its logits as weights."""

    def forward(self, x, mask=None):
        out, attn = super().forward(x, mask)
        return out, attn


class StrictMask(Separate):
    """Its mask has an axis of length one for the heads, and no other shape."""

    def forward(self, hidden_states, attention_mask=None):
        q, k, v = self.projected(hidden_states)
        s = q @ k.transpose(-1, -2) / self.head_dim**0.5
        if attention_mask is not None:
            if attention_mask.shape != (s.shape[0], 1, *s.shape[2:]):
                raise ValueError(f"expected a mask of shape {(s.shape[0], 1, *s.shape[2:])}")
            s = s + attention_mask
        return self.merged(s.softmax(-1) @ v)


class DecoderLayer(nn.Module):
    """Self-attention of a decoder as torch's own layers have it: tokens before the batch."""

    def __init__(self, d_model, nhead):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, tgt, tgt_mask=None, tgt_key_padding_mask=None, query_pos=None):
        q = tgt if query_pos is None else tgt + query_pos
        out = self.self_attn(q, q, tgt, attn_mask=tgt_mask, key_padding_mask=tgt_key_padding_mask)[0]
        return self.norm(tgt + out)


class EvalReturnsNothing(Separate):
    """Overrides `train` without returning itself."""

    def train(self, mode=True):
        super().train(mode)

    def forward(self, x):
        q, k, v = self.projected(x)
        return self.merged(F.scaled_dot_product_attention(q, k, v))


class ImageToPixels(nn.Module):
    """Channels under names of public code, and a softmax over the queries."""

    def __init__(self, in_ch, out_ch):
        super().__init__()
        self.qkv = nn.Conv2d(in_ch, 3 * out_ch, 1)

    def forward(self, x):
        b, _, h, w = x.shape
        q, k, v = self.qkv(x).flatten(2).chunk(3, 1)
        p = (q.transpose(1, 2) @ k * q.shape[1] ** -0.5).softmax(1)
        return (v @ p.transpose(1, 2)).view(b, -1, h, w)


class OneMatrix(nn.Module):
    """Queries, keys and values in a matrix whose name does not say so, and a residual connection around images."""

    def __init__(self, n_channels, n_heads=2, d_k=8):
        super().__init__()
        self.projection = nn.Linear(n_channels, 3 * n_heads * d_k)
        self.output = nn.Linear(n_heads * d_k, n_channels)
        self.n_heads, self.d_k = n_heads, d_k

    def forward(self, x):
        b, c, h, w = x.shape
        tokens = x.view(b, c, h * w).transpose(1, 2)
        q, k, v = self.projection(tokens).unflatten(-1, (self.n_heads, 3 * self.d_k)).chunk(3, -1)
        p = self.normalized(torch.einsum("bihd,bjhd->bijh", q, k) / self.d_k**0.5)
        out = self.output(torch.einsum("bijh,bjhd->bihd", p, v).flatten(2)) + tokens
        return out.transpose(1, 2).view_as(x)

    def normalized(self, scores):
        return scores.softmax(2)


class OneMatrixOverQueries(OneMatrix):
    def normalized(self, scores):
        return scores.softmax(1)


class CosineAttention(Separate):
    """Normalised queries and keys, and a factor for each head that is learned as its logarithm, as in Swin v2."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.logit_scale = nn.Parameter(torch.log(10 * torch.ones(num_heads, 1, 1)))

    def forward(self, x):
        q, k, v = self.projected(x)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        return self.merged((q @ k.transpose(-1, -2) * self.factor()).softmax(self.axis) @ v)

    def factor(self):
        return self.logit_scale.clamp(max=4.6).exp()

    axis = -1


class CosineOverQueries(CosineAttention):
    axis = -2


class CosineScaledTwice(CosineAttention):
    """The factor is one that nobody learns."""

    def factor(self):
        return 3.7


class Packed(nn.Module):
    """Queries, keys and values in one argument (B, N, 3, H, d)."""

    def __init__(self, causal=False):
        super().__init__()
        self.causal = causal

    def forward(self, qkv, causal=None):
        q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
        causal = self.causal if causal is None else causal
        out = F.scaled_dot_product_attention(q, k, v, is_causal=bool(causal), scale=self.scale(q))
        return out.transpose(1, 2)

    def scale(self, q):
        return None


class PackedNoRoot(Packed):
    def scale(self, q):
        return 1 / q.shape[-1]


class OtherValues(nn.Module):
    """Divides by the root of the width of the values."""

    def __init__(self, d_model, n_heads, d_k, d_v):
        super().__init__()
        self.n_heads, self.d_v = n_heads, d_v
        self.w_qs, self.w_ks = nn.Linear(d_model, n_heads * d_k), nn.Linear(d_model, n_heads * d_k)
        self.w_vs, self.fc = nn.Linear(d_model, n_heads * d_v), nn.Linear(n_heads * d_v, d_model)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for f in (self.w_qs, self.w_ks, self.w_vs))
        p = (q @ k.transpose(-1, -2) / self.d_v**0.5).softmax(-1)
        return self.fc((p @ v).transpose(1, 2).flatten(2))


class DropoutAndMask(Separate):
    """Drops weights also in evaluation; its mask is added."""

    def forward(self, hidden_states, attention_mask=None):
        q, k, v = self.projected(hidden_states)
        s = q @ k.transpose(-1, -2) / self.head_dim**0.5
        s = s if attention_mask is None else s + attention_mask
        return self.merged(F.dropout(s.softmax(-1), 0.1) @ v)


class Softcapped(Separate):
    """Logits between two bounds, as in Gemma."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.attn_logit_softcapping = 50.0

    def forward(self, x):
        q, k, v = self.projected(x)
        return self.merged(self.weights(q, k) @ v)

    def weights(self, q, k):
        s = q @ k.transpose(-1, -2) / self.head_dim**0.5
        return (self.attn_logit_softcapping * torch.tanh(s / self.attn_logit_softcapping)).softmax(-1)


class SoftcappedUnscaled(Softcapped):
    def weights(self, q, k):
        return super().weights(q * self.head_dim**0.5, k)


class Configured(Separate):
    """A configuration that is not this layer's: its own number of heads counts."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.config = {"num_attention_heads": 2 * num_heads}

    def forward(self, x):
        q, k, v = self.projected(x)
        return self.merged(self.weights(q, k) @ v)


class SidesOfImage(Separate):
    """Takes the sides of the image whose pixels its tokens are."""

    def forward(self, x, H, W):
        q, k, v = self.projected(x.transpose(1, 2).reshape(x.shape[0], -1, H, W).flatten(2).transpose(1, 2))
        return self.merged(self.weights(q, k) @ v)


class Reduced(Separate):
    """Keys and values of an image after a convolution, which is more than attention."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.sr = nn.Conv2d(dim, dim, 1)

    def forward(self, x, H, W):
        small = self.sr(x.transpose(1, 2).reshape(x.shape[0], -1, H, W)).flatten(2).transpose(1, 2)
        q, (_, k, v) = self.split(self.q_proj(x)), self.projected(small)
        return self.merged(self.weights(q, k) @ v)


class WithTask(Separate):
    """An argument that nobody can guess: a function of the weights."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.q_proj = nn.Linear(dim, dim)

    def split(self, x):
        return x.view(x.shape[0], -1, self.num_heads, x.shape[-1] // self.num_heads).transpose(1, 2)

    def forward(self, x, through):
        q, k, v = self.projected(x)
        p = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return self.merged(through(p) @ v)
