"""An attention bias, and a dropout that eval() does not switch off.

Source: coleygroup/ms-pred#38
"""

import torch.nn.functional as F
from torch import nn

EXPECT = {"MultiheadAttention": {"mistakes": ["dropout-active"]}}


class MultiheadAttention(nn.Module):
    def __init__(self, embed_dim=24, num_heads=4, dropout=0.1):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(embed_dim, embed_dim) for _ in range(3))
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, query, attn_bias=None):
        b, n, d = query.shape
        q, k, v = (
            proj(query).view(b, n, self.num_heads, -1).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        attn = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_bias, dropout_p=self.dropout, is_causal=False)
        return self.out_proj(attn.transpose(1, 2).reshape(b, n, d))
