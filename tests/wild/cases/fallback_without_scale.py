"""The fallback path calls prefill with the default softmax scale of one.

Source: mlc-ai/mlc-llm#3426
"""

import numpy as np

EXPECT = {"fallback": {"mistakes": ["scale-missing"]}, "fallback_corrected": {"conventions": ["tokens-before-heads"]}}


def prefill(q, k, v, sm_scale=1.0):
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) * sm_scale
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, v)


def fallback(q, k, v):
    """q, k, v: (batch, tokens, heads, head_dim)."""
    return prefill(q, k, v)


def fallback_corrected(q, k, v):
    """q, k, v: (batch, tokens, heads, head_dim)."""
    return prefill(q, k, v, sm_scale=q.shape[-1] ** -0.5)
