"""Layers whose names, lists, flags and fixed parameters say, or hide, what their arrays are."""

import torch
from torch import nn


def heads_of(x, heads):
    """(B, N, D) as (B, H, N, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merged(x):
    """(B, H, N, d) as (B, N, D)."""
    return x.transpose(1, 2).flatten(2)


def mix(q, k, v, bias=0.0):
    """Softmax attention."""
    return torch.softmax(q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + bias, -1) @ v


class Turn(nn.Module):
    """Rotates features by the places of their tokens."""

    def __init__(self, width):
        super().__init__()
        self.theta = nn.Parameter(10000.0 ** (-torch.arange(0, width, 2) / width), requires_grad=False)

    def forward(self, x):
        angles = torch.arange(x.shape[-2])[:, None].to(x) * self.theta
        cos, sin = angles.cos(), angles.sin()
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Rotary(nn.Module):
    """Rotary positions whose angles are a parameter."""

    def __init__(self, embed_dim=12, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(embed_dim, embed_dim) for _ in range(4))
        self.rotary = Turn(embed_dim // num_heads)

    def turned_keys(self, k):
        return self.rotary(k)

    def forward(self, x):
        q, k, v = (heads_of(f(x), self.num_heads) for f in (self.query, self.key, self.value))
        return self.out(merged(mix(self.rotary(q), self.turned_keys(k), v)))


class RotaryBackwards(Rotary):
    """Keys are rotated by the places from the end."""

    def turned_keys(self, k):
        return self.rotary(k.flip(-2)).flip(-2)


class ListOfThree(nn.Module):
    """Three square matrices in a list whose name is that of a fused one."""

    def __init__(self, embed_dim=12, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.kqv_layers = nn.ModuleList(nn.Linear(embed_dim, embed_dim) for _ in range(3))
        self.out = nn.Linear(embed_dim, embed_dim)

    def forward(self, x):
        k, q, v = (heads_of(f(x), self.num_heads) for f in self.kqv_layers)
        return self.out(merged(self.attend(q, k, v)))

    def attend(self, q, k, v):
        return mix(q, k, v)


class ListOfThreeUnscaled(ListOfThree):
    """As the one before, with other logits."""

    def attend(self, q, k, v):
        return torch.softmax(q @ k.transpose(-2, -1), -1) @ v


class Affine:
    """A matrix, with a bias that a flag turns off."""

    def __init__(self, inputs, outputs, use_bias):
        self.use_bias = use_bias
        self.w = torch.randn(inputs, outputs)
        self.b = torch.zeros(outputs)

    def __call__(self, x):
        return x @ self.w + self.b if self.use_bias else x @ self.w


class Flagged:
    """A plain class of affine functions, of which only the last adds its bias."""

    def __init__(self, embed_dim=12, num_heads=3, use_bias=False):
        self.num_heads = num_heads
        self.q_linear, self.k_linear, self.v_linear = (Affine(embed_dim, embed_dim, use_bias) for _ in range(3))
        self.out = Affine(embed_dim, embed_dim, True)

    def forward(self, x):
        q, k, v = (heads_of(f(x), self.num_heads) for f in (self.q_linear, self.k_linear, self.v_linear))
        return self.out(merged(mix(q, k, v)))


class FlaggedForgotten(Flagged):
    """The output's bias, which its flag asks for, is left out."""

    def forward(self, x):
        return super().forward(x) - self.out.b


class CountedAsSize(nn.Module):
    """`head_size` is the number of heads."""

    def __init__(self, hidden=12, head_size=3):
        super().__init__()
        self.head_size = head_size
        self.att_size = hidden // head_size
        self.q, self.k, self.v, self.out = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, x):
        q, k, v = (
            f(x).view(*x.shape[:2], self.head_size, self.att_size).transpose(1, 2) for f in (self.q, self.k, self.v)
        )
        return self.out(merged(mix(q, k, v)))


class SizeAsCount(nn.Module):
    """`head_size` is the width of a head, and heads are made in its place by mistake."""

    def __init__(self, hidden=12, head_size=4):
        super().__init__()
        self.head_size = head_size
        self.q, self.k, self.v, self.out = (nn.Linear(hidden, hidden) for _ in range(4))

    def forward(self, x):
        q, k, v = (heads_of(f(x), self.head_size) for f in (self.q, self.k, self.v))
        return self.out(merged(mix(q, k, v)))


class WideValues(nn.Module):
    """Values twice as wide as keys in one matrix, head by head, and biases that are made as training ends."""

    def __init__(self, embed_dim=12, num_heads=3, key_dim=4, ratio=2):
        super().__init__()
        self.num_heads, self.key_dim, self.value_dim = num_heads, key_dim, ratio * key_dim
        self.qkv = nn.Linear(embed_dim, num_heads * (2 + ratio) * key_dim)
        self.proj = nn.Linear(num_heads * ratio * key_dim, embed_dim)
        self.rel_bias = nn.Parameter(torch.zeros(num_heads, 6, 6))
        self.kept = None

    def train(self, mode=True):
        super().train(mode)
        self.kept = None if mode else self.rel_bias.detach().clone()

    def bias(self):
        return self.rel_bias if self.training else self.kept

    def forward(self, x):
        parts = heads_of(self.qkv(x), self.num_heads).split([self.key_dim, self.key_dim, self.value_dim], -1)
        return self.proj(merged(mix(*parts, self.bias())))


class WideValuesScaled(WideValues):
    """The scale is that of the values."""

    def forward(self, x):
        q, k, v = heads_of(self.qkv(x), self.num_heads).split([self.key_dim, self.key_dim, self.value_dim], -1)
        return self.proj(merged(mix(q * (self.key_dim / self.value_dim) ** 0.5, k, v, self.bias())))


class NodesFirst(nn.Module):
    """Nodes come before graphs, and a bias has to be passed that is None by default."""

    def __init__(self, embed_dim=12, num_heads=3):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.in_proj = nn.Linear(embed_dim, 3 * embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def split(self, x, nodes, graphs):
        return x.reshape(nodes, graphs * self.num_heads, self.head_dim).transpose(0, 1)

    def forward(self, query, attn_bias=None):
        nodes, graphs, width = query.shape
        q, k, v = (self.split(x, nodes, graphs) for x in self.in_proj(query).chunk(3, -1))
        weights = torch.softmax(q @ k.transpose(1, 2) / self.head_dim**0.5 + attn_bias, -1)
        return self.out_proj((weights @ v).transpose(0, 1).reshape(nodes, graphs, width))


class BatchTakenForTokens(nn.Module):
    """The code says that the batch comes first, and attends along it."""

    def __init__(self, embed_dim=12, num_heads=3):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.in_proj = nn.Linear(embed_dim, 3 * embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x):
        batch, count, width = x.shape
        shape = (batch, count * self.num_heads, self.head_dim)
        q, k, v = (part.reshape(shape).transpose(0, 1) for part in self.in_proj(x).chunk(3, -1))
        return self.out_proj(mix(q, k, v).transpose(0, 1).reshape(batch, count, width))


class DataAsH(nn.Module):
    """`h` is what keys and values are made from."""

    def __init__(self, embed_dim=12, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, q, h=None):
        h = q if h is None else h
        batch, count, width = h.size()
        k, v = (heads_of(f(h.view(batch, count, width)), self.num_heads) for f in (self.key, self.value))
        return self.out(merged(mix(heads_of(self.query(q), self.num_heads), k, v)))


class DataAsHUnused(DataAsH):
    """Values come from the queries."""

    def forward(self, q, h=None):
        h = q if h is None else h
        batch, count, width = h.size()
        k = heads_of(self.key(h.view(batch, count, width)), self.num_heads)
        v = heads_of(self.value(q), self.num_heads)
        return self.out(merged(mix(heads_of(self.query(q), self.num_heads), k, v[..., :1, :].expand_as(k))))


class Grouped(nn.Module):
    """Projections take the features in groups, and tokens are columns."""

    def __init__(self, embed_dim=12, num_heads=3, groups=2):
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value = (nn.Conv1d(embed_dim, embed_dim, 1, groups=groups) for _ in range(3))

    def scores(self, q, k):
        return q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5

    def forward(self, x):
        q, k, v = (heads_of(f(x).transpose(1, 2), self.num_heads) for f in (self.query, self.key, self.value))
        return merged(torch.softmax(self.scores(q, k), -1) @ v).transpose(1, 2)


class GroupedUnscaled(Grouped):
    """As the one before, with other logits."""

    def scores(self, q, k):
        return q @ k.transpose(-2, -1)


class OfGroups(nn.Module):
    """Tokens (B, P, N, D) of several groups in each item, rotated by cosines and sines that are passed."""

    def __init__(self, embed_dim=12, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def turned(self, x, cos, sin):
        return x * cos + torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2) * sin

    def turned_keys(self, k, cos, sin):
        return self.turned(k, cos, sin)

    def forward(self, x, position_embeddings):
        cos, sin = position_embeddings
        items, groups = x.shape[:2]
        q, k, v = (heads_of(f(x).flatten(0, 1), self.num_heads) for f in (self.query, self.key, self.value))
        output = mix(self.turned(q, cos, sin), self.turned_keys(k, cos, sin), v)
        return self.out(merged(output).unflatten(0, (items, groups)))


class OfGroupsOneSide(OfGroups):
    """Only queries are rotated."""

    def turned_keys(self, k, cos, sin):
        return k


class TwoNumbers(ListOfThree):
    """With two learned numbers that are for something else."""

    def __init__(self, embed_dim=12, num_heads=3):
        super().__init__(embed_dim, num_heads)
        self.steps = nn.Parameter(torch.tensor([0.0, 1.0]))

    def attend(self, q, k, v):
        return mix(q, k, v, self.steps.prod())


class LearnedTurns(ListOfThree):
    """Each head learns its rotations, which are those from the end for keys by mistake."""

    def __init__(self, embed_dim=12, num_heads=3):
        super().__init__(embed_dim, num_heads)
        self.rope_freqs = nn.Parameter(torch.randn(num_heads, embed_dim // num_heads // 2))

    def turned(self, x, places):
        angles = places[:, None].to(x) * self.rope_freqs[:, None]
        a, b = x.chunk(2, dim=-1)
        return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)

    def attend(self, q, k, v):
        places = torch.arange(q.shape[-2])
        return mix(self.turned(q, places), self.turned(k, places.flip(0)), v)


class WrittenOut(ListOfThree):
    """Arguments of the constructor whose names are written out."""

    def __init__(self, model_dimension, number_of_heads, dropout_probability, log_attention_weights):
        super().__init__(model_dimension, number_of_heads)
        self.log_attention_weights = log_attention_weights
        self.dropout = nn.Dropout(dropout_probability)


class FrozenPositions(ListOfThree):
    """Positions that are not learned are added to the tokens."""

    def __init__(self, embed_dim=12, num_heads=3):
        super().__init__(embed_dim, num_heads)
        self.pos_embed = nn.Parameter(torch.randn(1, 6, embed_dim), requires_grad=False)

    def forward(self, x):
        return super().forward(x + self.pos_embed)
