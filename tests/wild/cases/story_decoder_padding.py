"""The padding mask is taken, documented, and never used.

Source: facebookresearch/fairseq#318
"""

import numpy as np

EXPECT = {"encoder_decoder_attention": {"mistakes": ["mask-ignored"]}}


def encoder_decoder_attention(query, key, value, key_padding_mask=None):
    """key_padding_mask: (batch, keys), True for padding, which must get no weight."""
    x = np.einsum("bhqd,bhkd->bhqk", query, key) / np.sqrt(query.shape[-1])
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    attn_scores = x / x.sum(axis=-1, keepdims=True)
    return np.einsum("bhqk,bhkd->bhqd", attn_scores, value)
