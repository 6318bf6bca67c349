"""Padding is filled with −10⁻⁹: next to nothing where −10⁹ was meant.

Source: Shujun-He/RibonanzaNet#5
"""

import torch
import torch.nn.functional as F
from torch import nn

EXPECT = {"ScaledDotProductAttention": {"mistakes": ["mask-fill-too-small"]}, "Filled": {}}


class ScaledDotProductAttention(nn.Module):
    fill = -1e-9

    def forward(self, q, k, v, attn_mask=None):
        """attn_mask (queries, keys): 1 for pairs that exist, 0 for padding."""
        attn = torch.matmul(q / q.shape[-1] ** 0.5, k.transpose(-2, -1))
        if attn_mask is not None:
            attn = attn.masked_fill(attn_mask == 0, self.fill)
        return torch.matmul(F.softmax(attn, dim=-1), v)


class Filled(ScaledDotProductAttention):
    fill = float("-inf")
