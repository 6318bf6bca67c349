"""Shifted-window attention with its table of relative positions. Right.

Source: microsoft/Swin-Transformer#307
"""

import torch
from torch import nn

EXPECT = {"WindowAttention": {"conventions": ["position"]}}


class WindowAttention(nn.Module):
    def __init__(self, dim=24, window_size=(2, 3), num_heads=3):
        super().__init__()
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        height, width = window_size
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * height - 1) * (2 * width - 1), num_heads))
        coords = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).flatten(1)
        relative = (coords[:, :, None] - coords[:, None, :]).permute(1, 2, 0)
        relative = relative + torch.tensor([height - 1, width - 1])
        self.register_buffer("relative_position_index", relative[..., 0] * (2 * width - 1) + relative[..., 1])
        self.qkv, self.proj = nn.Linear(dim, dim * 3), nn.Linear(dim, dim)

    def forward(self, x):
        B_, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B_, N, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4).unbind(0)
        attn = (q * self.scale) @ k.transpose(-2, -1)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)].view(N, N, -1)
        attn = (attn + bias.permute(2, 0, 1).unsqueeze(0)).softmax(dim=-1)
        return self.proj((attn @ v).transpose(1, 2).reshape(B_, N, C))
