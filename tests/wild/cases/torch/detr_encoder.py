"""Tokens first, padding masks that are True at padding: as the framework asks for. Right.

Source: facebookresearch/detr#96
"""

from torch import nn

EXPECT = {"EncoderSelfAttention": {"conventions": ["tokens-first"]}}


class EncoderSelfAttention(nn.Module):
    def __init__(self, d_model=24, nhead=4, dropout=0.1):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout)

    def forward(self, src, src_mask=None, src_key_padding_mask=None):
        """src: (tokens, batch, features)."""
        return self.self_attn(src, src, value=src, attn_mask=src_mask, key_padding_mask=src_key_padding_mask)[0]
