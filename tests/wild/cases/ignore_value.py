"""Masked scores are −10⁵: the same outputs on ordinary inputs, and hazardous where logits are far below that.

Source: TransformerLensOrg/TransformerLens#319
"""

import numpy as np

EXPECT = {"attention": {"conventions": ["causal", "tokens-before-heads"]}}
IGNORE = -1e5


def attention(q, k, v):
    """q, k, v: [batch, pos, head_index, d_head]."""
    attn_scores = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1])
    n, m = attn_scores.shape[-2:]
    attn_scores = np.where(np.tril(np.ones((n, m), bool)), attn_scores, IGNORE)
    pattern = np.exp(attn_scores - attn_scores.max(-1, keepdims=True))
    pattern = pattern / pattern.sum(-1, keepdims=True)
    return np.einsum("bkhd,bhqk->bqhd", v, pattern)
