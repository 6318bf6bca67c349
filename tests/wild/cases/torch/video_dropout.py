"""scaled_dot_product_attention is handed the dropout whatever the mode.

Source: facebookresearch/vjepa2#160
"""

import torch.nn.functional as F
from torch import nn

EXPECT = {"Attention": {"mistakes": ["dropout-active"]}, "AttentionCorrected": {}}


class Attention(nn.Module):
    def __init__(self, dim=24, num_heads=4, proj_drop=0.2):
        super().__init__()
        self.num_heads, self.proj_drop_prob = num_heads, proj_drop
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)

    def dropout_p(self):
        return self.proj_drop_prob

    def forward(self, x):
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.num_heads, C // self.num_heads).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout_p())
        return self.proj(x.transpose(1, 2).reshape(B, N, C))


class AttentionCorrected(Attention):
    def dropout_p(self):
        return self.proj_drop_prob if self.training else 0.0
