"""Attention layers in torch with gates, norms inside, convolutions and blocks; and the same with a mistake put in."""

import torch
from torch import nn
from torch.nn import functional as F

from layers.torch_extras import Heads


class GateOfHeads(Heads):
    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.gate = nn.Linear(dim, heads)

    def forward(self, x):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))
        gate = torch.sigmoid(self.gate(x)).transpose(1, 2)[..., None]
        return self.merge(gate * (self.logits(q, k).softmax(-1) @ v))


class GateBySilu(Heads):
    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.g_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))
        out = (self.logits(q, k).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.to_out(out * F.silu(self.g_proj(x)))


class GateBySiluNoRoot(GateBySilu):
    def logits(self, q, k):
        return q @ k.mT / self.width


class GateOfOutput(GateBySilu):
    """The gate is computed from what attention gives, not from the tokens."""

    def forward(self, x):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))
        out = (self.logits(q, k).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.to_out(out * F.silu(self.g_proj(out)))


class GateInQueries(nn.Module):
    """The projection of queries gives a gate for each head, after its queries."""

    def __init__(self, dim, num_heads=3):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.q_proj, self.k_proj = nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.v_proj, self.o_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def parts(self, x):
        q, gate = self.q_proj(x).unflatten(-1, (self.num_heads, -1)).chunk(2, -1)
        k, v = (p(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for p in (self.k_proj, self.v_proj))
        return q.transpose(1, 2), k, v, gate.flatten(2)

    def forward(self, x):
        q, k, v, gate = self.parts(x)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.o_proj(out.transpose(1, 2).flatten(2) * torch.sigmoid(gate))


class GateInQueriesUnmoved(GateInQueries):
    def forward(self, x):
        q, k, v, gate = self.parts(x)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.o_proj(out.reshape(x.shape) * torch.sigmoid(gate))


class FourParts(nn.Module):
    def __init__(self, dim, heads=3):
        super().__init__()
        self.heads, self.to_qkvg, self.to_out = heads, nn.Linear(dim, 4 * dim, bias=False), nn.Linear(dim, dim)

    def forward(self, x):
        *parts, gate = self.to_qkvg(x).chunk(4, -1)
        q, k, v = (a.unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in parts)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.to_out(out.transpose(1, 2).flatten(2) * gate.sigmoid())


class ClosedGate(Heads):
    """A gate of one number, whose tanh is zero before training."""

    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.attn_gate = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x + torch.tanh(self.attn_gate) * self.attend(x, x)


class ClosedGateUnscaled(ClosedGate):
    def logits(self, q, k):
        return q @ k.mT


class OwnNorm(nn.Module):
    """Divides by the standard deviation with one degree of freedom less."""

    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.a, self.b, self.eps = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), eps

    def forward(self, x):
        return self.a * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + self.eps) + self.b


class NormBefore(Heads):
    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.norm = OwnNorm(dim)

    def forward(self, x):
        y = self.norm(x)
        return x + self.attend(y, y)


class NormBeforeUnscaled(NormBefore):
    def logits(self, q, k):
        return q @ k.mT


class NormOfQueryTokens(nn.Module):
    """A norm of the tokens with queries, whose name is also that of a norm of queries."""

    def __init__(self, dim, heads=3):
        super().__init__()
        self.norm_q = nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, text, image, image_mask=None):
        """image_mask: (B, M), True for padding."""
        return text + self.attn(self.norm_q(text), image, image, key_padding_mask=self.hidden(image_mask))[0]

    def hidden(self, mask):
        return mask


class NormOfQueryTokensInverted(NormOfQueryTokens):
    def hidden(self, mask):
        return mask if mask is None else ~mask


class RareEpsilon(Heads):
    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.norm = nn.LayerNorm(dim, eps=3e-4)

    def forward(self, x):
        y = self.norm(x)
        return x + self.attend(y, y)


class NormBeforeOutput(Heads):
    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.sub_norm = nn.RMSNorm(dim, eps=1e-5)

    def merge(self, x):
        return self.to_out(self.sub_norm(x.transpose(1, 2).flatten(2)))

    def forward(self, x):
        return self.attend(x, x)


class NormOfEachHead(NormBeforeOutput):
    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.sub_norm = nn.LayerNorm(dim // heads)

    def merge(self, x):
        return self.to_out(self.sub_norm(x).transpose(1, 2).flatten(2))


class NormOfEachHeadUnscaled(NormOfEachHead):
    def logits(self, q, k):
        return q @ k.mT


class AfterConvolutions(Heads):
    def __init__(self, dim, heads=3):
        super().__init__(dim, heads)
        self.conv_q, self.conv_k, self.conv_v = (nn.Conv1d(dim, dim, 3, padding=1, groups=dim) for _ in "qkv")

    def attend(self, x, context):
        x_q, x_k, x_v = (conv(x.mT).mT for conv in (self.conv_q, self.conv_k, self.conv_v))
        q, k, v = self.split(self.to_q(x_q)), self.split(self.to_k(x_k)), self.split(self.to_v(x_v))
        return self.merge(self.logits(q, k).softmax(-1) @ v)

    def forward(self, x):
        return self.attend(x, x)


class AfterConvolutionsUnscaled(AfterConvolutions):
    def logits(self, q, k):
        return q @ k.mT


class InBlocks(Heads):
    """Attends within blocks of tokens, of which there has to be a whole number."""

    def __init__(self, dim, heads=3, block_size=4):
        super().__init__(dim, heads)
        self.block_size = block_size

    def forward(self, x):
        if x.shape[1] % self.block_size:
            raise ValueError("expected whole blocks")
        blocks = x.reshape(-1, self.block_size, x.shape[-1])
        return self.attend(blocks, blocks).reshape(x.shape)


class InBlocksUnscaled(InBlocks):
    def logits(self, q, k):
        return q @ k.mT


class PooledKeys(Heads):
    def forward(self, x):
        return self.attend(x, F.avg_pool1d(x.mT, 2, ceil_mode=True).mT)


class AddedPositions(Heads):
    """Positions are added to the tokens of queries and keys, as in DETR."""

    def forward(self, x, query_pos=None):
        y = x if query_pos is None else x + query_pos
        q, k, v = self.split(self.to_q(y)), self.split(self.to_k(y)), self.split(self.to_v(x))
        return self.merge(self.logits(q, k).softmax(-1) @ v)


class PositionsInValues(Heads):
    def forward(self, x, query_pos=None):
        y = x if query_pos is None else x + query_pos
        return self.attend(y, y)


class DropoutWithoutTraining(Heads):
    def forward(self, x):
        q, k, v = self.split(self.to_q(x)), self.split(self.to_k(x)), self.split(self.to_v(x))
        return self.merge(F.scaled_dot_product_attention(q, k, v, dropout_p=0.2, is_causal=True))


class WideHeadsAveraged(nn.Module):
    """Heads as wide as the tokens, whose mean is projected."""

    def __init__(self, d_model, heads=3):
        super().__init__()
        self.q, self.k, self.v = (nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(heads)) for _ in "qkv")
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x):
        parts = ((q(x), k(x), v(x)) for q, k, v in zip(self.q, self.k, self.v, strict=True))
        return self.out(torch.stack([F.scaled_dot_product_attention(*part) for part in parts]).mean(0))


class NormOfAllQueries(nn.Module):
    def __init__(self, dim=12, heads=3):
        super().__init__()
        self.heads = heads
        self.qkv, self.to_out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.norm_q, self.norm_k = nn.RMSNorm(dim), nn.RMSNorm(dim)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.norm_q(q), self.norm_k(k), v))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class NormSaidToBeOfEachHead(NormOfAllQueries):
    """Queries and keys are normalised per head."""


class Radius(nn.Module):
    """Causal self-attention that keeps pairs with 0 <= i - j <= radius."""

    more = 0

    def __init__(self, dim=12, heads=3, radius=3):
        super().__init__()
        self.heads, self.radius = heads, radius
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        lag = torch.arange(x.shape[1])[:, None] - torch.arange(x.shape[1])
        s = (q @ k.mT * q.shape[-1] ** -0.5).masked_fill((lag < 0) | (lag > self.radius + self.more), -torch.inf)
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class RadiusOneLess(Radius):
    """Causal self-attention that keeps pairs with 0 <= i - j <= radius."""

    more = -1
