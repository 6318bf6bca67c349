"""A mask of keys is added along the queries: whole rows get −10¹⁰, and padding is attended to all the same.

Source: lsdefine/attention-is-all-you-need-keras#16
"""

import numpy as np

EXPECT = {"scaled_dot_product": {"mistakes": ["mask-on-queries"]}}


def scaled_dot_product(q, k, v, mask=None):
    """mask (batch, keys): 1 for tokens, 0 for padding."""
    attn = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
    if mask is not None:
        attn = attn + (-1e10 * (1 - mask))[:, :, None]
    attn = np.exp(attn - attn.max(axis=-1, keepdims=True))
    return attn / attn.sum(axis=-1, keepdims=True) @ v
