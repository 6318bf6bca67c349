"""Attention layers of torch that are not softmax attention between tokens."""

import torch

from layers.public_layers import Separate


class LinearAttention(Separate):
    """Features of queries and keys in place of the exponential of their product."""

    def forward(self, x):
        q, k, v = self.projected(x)
        q, k = (torch.nn.functional.elu(a) + 1 for a in (q, k))
        mixed = q @ (k.transpose(-1, -2) @ v)
        return self.merged(mixed / (q @ k.sum(-2, keepdim=True).transpose(-1, -2)))


class ChannelAttention(Separate):
    """The features of a head attend to each other."""

    def forward(self, x):
        q, k, v = (torch.nn.functional.normalize(a.transpose(-1, -2), dim=-1) for a in self.projected(x))
        v = self.split(self.v_proj(x)).transpose(-1, -2)
        return self.merged(((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(-1, -2))


class DifferentialAttention(Separate):
    """The weights of one softmax less a part of those of another, and a norm of each head."""

    part = 0.3

    def forward(self, x):
        q, k, v = self.projected(x)
        first, second = (
            (a @ b.transpose(-1, -2) * a.shape[-1] ** -0.5).softmax(-1)
            for a, b in zip(q.chunk(2, -1), k.chunk(2, -1), strict=True)
        )
        return self.merged(torch.nn.functional.rms_norm((first - self.part * second) @ v, v.shape[-1:], eps=0.0))


class Uniform(Separate):
    """Every weight is the same."""

    def forward(self, x):
        q, k, v = self.projected(x)
        return self.merged(self.weights(0 * q, k) @ v)


class ProjectedKeys(Separate):
    """Keys and values of fewer tokens, which a learned matrix mixes."""

    def __init__(self, dim, num_heads, seq_len=16):
        super().__init__(dim, num_heads)
        self.mix = torch.nn.Parameter(torch.randn(seq_len, 3))

    def forward(self, x):
        q, (_, k, v) = self.split(self.q_proj(x)), self.projected(self.mix[: x.shape[1]].T @ x)
        return self.merged(self.weights(q, k) @ v)


class FramesUnmoved(Separate):
    """Attention between frames (B, T, S, C) whose axes are merged where they stand, so that it is between places."""

    def forward(self, x):
        b, t, s, c = x.shape
        q, k, v = self.projected(x.reshape(b * s, t, c))
        return self.merged(self.weights(q, k) @ v).reshape(b, t, s, c)
