"""Layers whose names say nothing about their matrices."""

import torch
from torch import nn


class ValuesFirst(nn.Module):
    """Attention whose matrices are defined in an order of its own."""

    def __init__(self, dim=12, heads=3):
        super().__init__()
        self.heads = heads
        self.a, self.b, self.c, self.d = (nn.Linear(dim, dim) for _ in range(4))

    def weigh(self, q, k):
        return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1)

    def forward(self, x):
        n, tokens, width = x.shape
        v, q, k = (f(x).view(n, tokens, self.heads, -1).transpose(1, 2) for f in (self.a, self.b, self.c))
        return self.d((self.weigh(q, k) @ v).transpose(1, 2).reshape(n, tokens, width))


class ValuesFirstUnscaled(ValuesFirst):
    def weigh(self, q, k):
        return torch.softmax(q @ k.transpose(-1, -2), -1)


class ValuesFirstOverQueries(ValuesFirst):
    def weigh(self, q, k):
        return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -2)


class Perceptron(nn.Module):
    """No attention."""

    def __init__(self, dim=12):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = (nn.Linear(dim, dim) for _ in range(3))

    def forward(self, x):
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class GatedPerceptron(nn.Module):
    """No attention, with matrices of two shapes."""

    def __init__(self, dim=12, hidden=24):
        super().__init__()
        self.w1, self.w2, self.w3 = nn.Linear(dim, hidden), nn.Linear(hidden, dim), nn.Linear(dim, hidden)

    def forward(self, x):
        return self.w2(torch.sigmoid(self.w1(x)) * self.w3(x))
