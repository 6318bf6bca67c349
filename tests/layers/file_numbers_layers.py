"""Layers whose sizes are variables of their file, as in many notebooks."""

import torch
from torch import nn

d_model, d_k, n_heads = 24, 8, 3


class SizesOfFile(nn.Module):
    """Multi-head attention without an attribute that says how many heads there are."""

    def __init__(self):
        super().__init__()
        self.W_Q, self.W_K, self.W_V = (nn.Linear(d_model, d_k * n_heads) for _ in range(3))
        self.linear = nn.Linear(d_k * n_heads, d_model)

    def logits(self, q, k):
        return q @ k.transpose(-1, -2) / d_k**0.5

    def forward(self, x):
        q, k, v = (layer(x).view(len(x), -1, n_heads, d_k).transpose(1, 2) for layer in (self.W_Q, self.W_K, self.W_V))
        p = torch.softmax(self.logits(q, k), dim=-1)
        return self.linear((p @ v).transpose(1, 2).reshape(len(x), -1, n_heads * d_k))


class SizesOfFileModelWidth(SizesOfFile):
    """The width of the model in place of that of a head."""

    def logits(self, q, k):
        return q @ k.transpose(-1, -2) / d_model**0.5


class HeadOfFile(nn.Module):
    """One head of tokens as wide as the file says."""

    def __init__(self, head_size):
        super().__init__()
        self.key, self.query, self.value = (nn.Linear(d_model, head_size, bias=False) for _ in range(3))

    def forward(self, x):
        k = self.key(x)
        return torch.softmax(self.query(x) @ k.transpose(-1, -2) * self.scale(x, k), dim=-1) @ self.value(x)

    def scale(self, x, k):
        return k.shape[-1] ** -0.5


class HeadOfFileModelWidth(HeadOfFile):
    def scale(self, x, k):
        return x.shape[-1] ** -0.5


class HeadsAsWideAsFile(nn.Module):
    """Heads that have to be as wide together as the file says, although their number and width are arguments."""

    head = HeadOfFile

    def __init__(self, num_heads, head_size):
        super().__init__()
        self.heads = nn.ModuleList([self.head(head_size) for _ in range(num_heads)])
        self.proj = nn.Linear(d_model, d_model)

    def forward(self, x):
        return self.proj(torch.cat([head(x) for head in self.heads], dim=-1))


class HeadsAsWideAsFileModelWidth(HeadsAsWideAsFile):
    head = HeadOfFileModelWidth
