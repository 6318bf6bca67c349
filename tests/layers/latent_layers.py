"""Attention layers of torch whose keys and values are made from a latent vector, as in DeepSeek-V2."""

import torch
from torch import nn


class LatentAttention(nn.Module):
    """With the names of the public code."""

    def __init__(self, dim, n_heads, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim):
        super().__init__()
        self.n_heads, self.rank = n_heads, kv_lora_rank
        self.nope, self.rope, self.v_dim = qk_nope_head_dim, qk_rope_head_dim, v_head_dim
        self.wq = nn.Linear(dim, n_heads * (self.nope + self.rope), bias=False)
        self.wkv_a = nn.Linear(dim, self.rank + self.rope, bias=False)
        self.kv_norm = nn.RMSNorm(self.rank, eps=1e-6)
        self.wkv_b = nn.Linear(self.rank, n_heads * (self.nope + self.v_dim), bias=False)
        self.wo = nn.Linear(n_heads * self.v_dim, dim, bias=False)

    def rotate(self, x):
        count, width = x.shape[1], x.shape[-1]
        angles = torch.outer(torch.arange(count), 1e4 ** (-torch.arange(0, width, 2) / width)).to(x)[:, None]
        a, b = x[..., ::2], x[..., 1::2]
        turned = a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()
        return torch.stack(turned, -1).flatten(-2)

    def rotated_key(self, key):
        return self.rotate(key)

    def scaled(self, logits):
        return logits * (self.nope + self.rope) ** -0.5

    def forward(self, x):
        q, q_turned = self.wq(x).unflatten(-1, (self.n_heads, -1)).split([self.nope, self.rope], -1)
        latent, k_turned = self.wkv_a(x).split([self.rank, self.rope], -1)
        k, v = self.wkv_b(self.kv_norm(latent)).unflatten(-1, (self.n_heads, -1)).split([self.nope, self.v_dim], -1)
        k_turned = self.rotated_key(k_turned.unsqueeze(2)).expand(-1, -1, self.n_heads, -1)
        q, k = torch.cat([q, self.rotate(q_turned)], -1), torch.cat([k, k_turned], -1)
        weights = self.scaled(torch.einsum("bnhd,bmhd->bhnm", q, k)).softmax(-1)
        return self.wo(torch.einsum("bhnm,bmhd->bnhd", weights, v).flatten(2))


class LatentUnscaled(LatentAttention):
    def scaled(self, logits):
        return logits


class LatentHalfScaled(LatentAttention):
    """The width of the part that is not rotated alone."""

    def scaled(self, logits):
        return logits * self.nope**-0.5


class LatentUnturnedKey(LatentAttention):
    def rotated_key(self, key):
        return key


class PaperNames(nn.Module):
    """With the letters of the paper, and queries made from a latent vector too."""

    def __init__(self, d_model, n_heads, d_c, d_c_q=9, d_head=5, d_rope=4):
        super().__init__()
        self.n_heads = n_heads
        self.W_DKV, self.W_DQ = nn.Linear(d_model, d_c, bias=False), nn.Linear(d_model, d_c_q, bias=False)
        self.W_UK, self.W_UV = (nn.Linear(d_c, n_heads * d_head, bias=False) for _ in range(2))
        self.W_UQ = nn.Linear(d_c_q, n_heads * d_head, bias=False)
        self.W_QR, self.W_KR = nn.Linear(d_c_q, n_heads * d_rope, bias=False), nn.Linear(d_model, d_rope, bias=False)
        self.W_O = nn.Linear(n_heads * d_head, d_model, bias=False)

    rotate = LatentAttention.rotate

    def forward(self, h):
        latent, asking = self.W_DKV(h), self.W_DQ(h)
        q, q_turned, k, v = (
            f(x).unflatten(-1, (self.n_heads, -1))
            for f, x in ((self.W_UQ, asking), (self.W_QR, asking), (self.W_UK, latent), (self.W_UV, latent))
        )
        k_turned = self.rotate(self.W_KR(h).unsqueeze(2)).expand(-1, -1, self.n_heads, -1)
        q, k = torch.cat([q, self.rotate(q_turned)], -1), torch.cat([k, k_turned], -1)
        logits = torch.einsum("bnhd,bmhd->bhnm", q, k) / q.shape[-1] ** 0.5
        hidden = torch.ones(logits.shape[-2:], dtype=torch.bool).triu(1)
        weights = self.normalized(logits.masked_fill(hidden, -torch.inf))
        return self.W_O(torch.einsum("bhnm,bmhd->bnhd", weights, v).flatten(2))

    def normalized(self, logits):
        return logits.softmax(-1)


class PaperNamesTwice(PaperNames):
    def normalized(self, logits):
        return logits.softmax(-1).softmax(-1)
