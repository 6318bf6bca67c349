"""Attention layers in torch that learn or hold more than their projections; and the same with a mistake put in."""

import torch
from torch import nn
from torch.nn import functional as F


class Heads(nn.Module):
    """What all layers of this file share."""

    def __init__(self, dim, heads=3, key_heads=None, context_dim=None):
        super().__init__()
        self.heads, self.key_heads, self.width = heads, key_heads or heads, dim // heads
        self.to_q = nn.Linear(dim, heads * self.width, bias=False)
        self.to_k = nn.Linear(context_dim or dim, self.key_heads * self.width, bias=False)
        self.to_v = nn.Linear(context_dim or dim, self.key_heads * self.width, bias=False)
        self.to_out = nn.Linear(dim, dim)

    def split(self, x):
        return x.unflatten(-1, (-1, self.width)).transpose(1, 2)

    def merge(self, x):
        return self.to_out(x.transpose(1, 2).flatten(2))

    def logits(self, q, k):
        return q @ k.mT * self.width**-0.5

    def attend(self, x, context):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(context)), self.split(self.to_v(context))
        return self.merge(self.logits(q, k).softmax(-1) @ v)


class ScaledBranch(Heads):
    """The attention half of a block: a norm, a factor for each feature, the residual connection."""

    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.norm, self.gamma = nn.LayerNorm(dim), nn.Parameter(torch.full((dim,), 1e-4))

    def forward(self, x):
        y = self.norm(x)
        return x + self.gamma * self.attend(y, y)


class WithPositions(Heads):
    def __init__(self, dim, heads=3, max_len=32):
        super().__init__(dim, heads)
        self.pos_embedding = nn.Parameter(torch.randn(1, max_len, dim))

    def forward(self, x):
        x = x + self.pos_embedding[:, : x.shape[1]]
        return self.attend(x, x)


class WithPositionsUnscaled(WithPositions):
    def logits(self, q, k):
        return q @ k.mT


class BiasAfterSoftmax(Heads):
    """A table of positions, added to the weights where it should be added to the logits."""

    def __init__(self, dim, heads=3, max_len=32):
        super().__init__(dim, heads)
        self.position_table = nn.Parameter(torch.randn(heads, max_len, max_len))

    def forward(self, x):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))
        n = x.shape[1]
        return self.merge((self.logits(q, k).softmax(-1) + self.position_table[:, :n, :n]) @ v)


class Sinks(Heads):
    def __init__(self, dim, heads=3, sliding_window=0):
        super().__init__(dim, heads)
        self.sliding_window = sliding_window
        self.sinks = nn.Parameter(torch.zeros(heads))

    def forward(self, x):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))
        sinks = self.sinks[:, None, None].expand(len(x), -1, x.shape[1], 1)
        hidden = torch.full((x.shape[1], x.shape[1]), -torch.inf)
        s = self.logits(q, k) + hidden.triu(1)
        if self.sliding_window:
            s = s + hidden.tril(-self.sliding_window)
        return self.merge(self.weights(torch.cat([s, sinks], -1)) @ v)

    def weights(self, logits):
        return logits.softmax(-1)[..., :-1]


class SinksUnused(Sinks):
    def weights(self, logits):
        return logits[..., :-1].softmax(-1)


class Gated(Heads):
    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.gate = nn.Linear(dim, dim)

    def merge(self, x):
        return self.to_out(torch.sigmoid(self.gate(self.tokens)) * x.transpose(1, 2).flatten(2))

    def forward(self, x):
        self.tokens = x
        return self.attend(x, x)


class LowRank(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.base = base
        self.lora_a = nn.Parameter(torch.randn(2, base.in_features))
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, 2))

    def forward(self, x):
        return self.base(x) + x @ self.lora_a.T @ self.lora_b.T


class Adapted(Heads):
    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.to_q, self.to_v = LowRank(self.to_q), LowRank(self.to_v)

    def forward(self, x):
        return self.attend(x, x)


class TwoNorms(Heads):
    """Latents attend to a context; each has a norm."""

    def __init__(self, dim, context_dim, heads=3):
        super().__init__(dim, heads, context_dim=context_dim)
        self.norm, self.norm_context = nn.LayerNorm(dim), nn.LayerNorm(context_dim)

    def forward(self, x, context):
        return self.attend(self.norm(x), self.norm_context(context))


class TwoNormsUnscaled(TwoNorms):
    def logits(self, q, k):
        return q @ k.mT


class SetBlock(Heads):
    """O = H + relu(W H) with H = Q + attention, as in the Set Transformer."""

    def forward(self, x, context):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(context)), self.split(self.to_v(context))
        mixed = (q + self.logits(q, k).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return mixed + torch.relu(self.to_out(mixed))


class SetBlockModelWidth(SetBlock):
    def logits(self, q, k):
        return q @ k.mT / (self.heads * self.width) ** 0.5


class ComplexAlongHeads(Heads):
    """Rotary positions as complex numbers, taken along the heads."""

    def turned(self, x):
        angles = torch.arange(x.shape[1])[:, None, None] * 100.0 ** -torch.arange(x.shape[-1] // 2)
        freqs_cis = torch.polar(torch.ones_like(angles), angles)
        z = torch.view_as_complex(x.contiguous().unflatten(-1, (-1, 2))) * freqs_cis
        return torch.view_as_real(z).flatten(-2)

    def forward(self, x):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))
        return self.merge(self.logits(self.turned(q), self.turned(k)).softmax(-1) @ v)


class Rotary(Heads):
    """Grouped queries, normalised and rotated, by angles that are made in float32."""

    def __init__(self, dim, heads=6, num_kv_heads=2):
        super().__init__(dim, heads, num_kv_heads)
        self.q_norm, self.k_norm = nn.LayerNorm(self.width), nn.LayerNorm(self.width)
        self.register_buffer("inv_freq", 1 / 10000 ** (torch.arange(0, self.width, 2).float() / self.width))

    def rotate_half(self, x):
        return torch.cat([-x[..., self.width // 2 :], x[..., : self.width // 2]], -1)

    def rotated(self, x, count):
        angles = torch.outer(torch.arange(count), self.inv_freq).repeat(1, 2)
        return x * angles.cos() + self.rotate_half(x) * angles.sin()

    def repeat(self, x):
        return x.repeat_interleave(self.heads // self.key_heads, dim=1)

    def forward(self, x):
        q, k, v = self.q_norm(self.split(self.to_q(x))), self.k_norm(self.split(self.to_k(x))), self.split(self.to_v(x))
        q, k = self.rotated(q, x.shape[1]), self.rotated(k, x.shape[1])
        return self.merge(F.scaled_dot_product_attention(q, self.repeat(k), self.repeat(v), is_causal=True))


class RotaryTiled(Rotary):
    def repeat(self, x):
        return x.repeat(1, self.heads // self.key_heads, 1, 1)


class RotaryAlongHeads(Heads):
    def __init__(self, dim, heads=3, max_len=64):
        super().__init__(dim, heads)
        angles = torch.outer(torch.arange(max_len), 1 / 100 ** torch.linspace(0, 1, self.width // 2))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def split(self, x):
        return x.unflatten(-1, (-1, self.width)).transpose(1, 2)

    def logits(self, q, k):
        return super().logits(self.turned(q), self.turned(k))

    def turned(self, x):
        cos, sin = self.cos[: x.shape[1], None], self.sin[: x.shape[1], None]
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    def forward(self, x):
        return self.attend(x, x)


class MaskInverted(Heads):
    """Attention with padding.

    mask: (batch, tokens), 1 for real tokens and 0 for padding.
    """

    def forward(self, x, mask=None):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))
        logits = self.logits(q, k)
        if mask is not None:
            logits = logits.masked_fill(mask[:, None, None] == 1, -torch.inf)
        return self.merge(logits.softmax(-1) @ v)


class CausalMaskInverted(MaskInverted):
    """Causal attention with padding, in which the first queries see nothing.

    mask: (batch, tokens), 1 for real tokens and 0 for padding.
    """

    def logits(self, q, k):
        return super().logits(q, k).masked_fill(torch.ones(q.shape[2], q.shape[2]).triu(1).bool(), -torch.inf)


class SameSlice(nn.Module):
    """Each head projects its own slice of the features, but all with the first head's queries and keys."""

    def __init__(self, d, n_heads=3):
        super().__init__()
        self.width = d // n_heads
        self.q_mappings, self.k_mappings, self.v_mappings = (
            nn.ModuleList(nn.Linear(self.width, self.width) for _ in range(n_heads)) for _ in range(3)
        )

    def forward(self, x):
        heads = []
        for part, value in zip(x.split(self.width, -1), self.v_mappings, strict=True):
            logits = self.q_mappings[0](part) @ self.k_mappings[0](part).mT / self.width**0.5
            heads.append(logits.softmax(-1) @ value(part))
        return torch.cat(heads, -1)
