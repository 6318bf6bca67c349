"""q_norm and k_norm for each head, then scaled_dot_product_attention. Right.

Source: https://github.com/huggingface/pytorch-image-models/blob/main/timm/models/vision_transformer.py
"""

import torch.nn.functional as F
from torch import nn

EXPECT = {"Attention": {"conventions": ["qk-norm"]}}


class Attention(nn.Module):
    def __init__(self, dim=24, num_heads=4):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.qkv = nn.Linear(dim, dim * 3, bias=False)
        self.q_norm, self.k_norm = nn.LayerNorm(self.head_dim), nn.LayerNorm(self.head_dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)
        return self.proj(x.transpose(1, 2).reshape(B, N, C))
