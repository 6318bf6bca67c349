"""The root of all features where the root of one head's features is meant.

Source: omihub777/ViT-CIFAR#12
"""

import torch
from torch import nn

EXPECT = {"MultiHeadSelfAttention": {"mistakes": ["scale-model-width"]}, "PerHead": {}}


class MultiHeadSelfAttention(nn.Module):
    def __init__(self, feats: int = 24, head: int = 4, dropout: float = 0.0):
        super().__init__()
        self.head, self.feats = head, feats
        self.sqrt_d = self.feats**0.5
        self.q, self.k, self.v = nn.Linear(feats, feats), nn.Linear(feats, feats), nn.Linear(feats, feats)
        self.o = nn.Linear(feats, feats)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        b, n, f = x.size()
        q = self.q(x).view(b, n, self.head, self.feats // self.head).transpose(1, 2)
        k = self.k(x).view(b, n, self.head, self.feats // self.head).transpose(1, 2)
        v = self.v(x).view(b, n, self.head, self.feats // self.head).transpose(1, 2)
        score = torch.softmax(torch.einsum("bhif, bhjf->bhij", q, k) / self.sqrt_d, dim=-1)
        attn = torch.einsum("bhij, bhjf->bihf", score, v)
        return self.dropout(self.o(attn.flatten(2)))


class PerHead(MultiHeadSelfAttention):
    def __init__(self, feats: int = 24, head: int = 4):
        super().__init__(feats, head)
        self.sqrt_d = (self.feats // self.head) ** 0.5
