"""A table of relative positions added to the scaled logits, in place on an array of its own. Right.

Source: facebookresearch/xformers#1015
"""

import numpy as np

EXPECT = {"window_attention": {}}


def window_attention(q, k, v, rp_bias=None):
    """q, k, v: B, num_heads, num_patches, dims_head; rp_bias: num_heads, num_patches, num_patches."""
    attn = (q @ np.swapaxes(k, -2, -1)) * q.shape[-1] ** -0.5
    if rp_bias is not None:
        attn += rp_bias
    attn = np.exp(attn - attn.max(axis=-1, keepdims=True))
    return attn / attn.sum(axis=-1, keepdims=True) @ v
