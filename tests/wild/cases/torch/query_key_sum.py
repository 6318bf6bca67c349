"""scaled_dot_product_attention as PyTorch documents it. Right.

Source: https://pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
"""

import math

import torch

EXPECT = {"scaled_dot_product_attention": {}}


def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
    """attn_mask: True takes part in attention; a float mask is added to the scores."""
    L, S = query.size(-2), key.size(-2)
    scale_factor = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    attn_bias = torch.zeros(L, S, dtype=query.dtype)
    if is_causal:
        attn_bias = attn_bias.masked_fill(
            torch.ones(L, S, dtype=torch.bool).tril(diagonal=0).logical_not(), float("-inf")
        )
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            attn_bias = attn_bias + torch.zeros(attn_mask.shape, dtype=query.dtype).masked_fill(
                ~attn_mask, float("-inf")
            )
        else:
            attn_bias = attn_mask + attn_bias
    attn_weight = query @ key.transpose(-2, -1) * scale_factor + attn_bias
    attn_weight = torch.dropout(torch.softmax(attn_weight, dim=-1), dropout_p, train=dropout_p > 0)
    return attn_weight @ value
