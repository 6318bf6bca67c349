"""Masked attention in loops: exp, times the padding mask, over the masked sum. Right.

Source: abisee/pointer-generator#88
"""

import numpy as np

EXPECT = {"masked_attention": {}}


def masked_attention(q, k, v, enc_padding_mask):
    """enc_padding_mask (keys): 1 for words, 0 for padding."""
    context = np.zeros((len(q), v.shape[1]))
    for i in range(len(q)):
        e = np.array([q[i] @ k[j] for j in range(len(k))]) / np.sqrt(q.shape[1])
        attn_dist = np.exp(e - e.max()) * enc_padding_mask
        context[i] = (attn_dist / attn_dist.sum()) @ v
    return context
