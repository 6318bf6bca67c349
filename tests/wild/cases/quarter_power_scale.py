"""Queries and keys are each multiplied by the fourth root of the scale, channels first: the product is right.

Source: openai/improved-diffusion#54
"""

import numpy as np

EXPECT = {"qkv_attention": {"conventions": ["columns"]}}


def qkv_attention(q, k, v):
    """q, k, v: (batch, channels, length), a token in each column; so is the output."""
    scale = 1 / np.sqrt(np.sqrt(q.shape[1]))
    weight = np.einsum("bct,bcs->bts", q * scale, k * scale)
    weight = np.exp(weight - weight.max(-1, keepdims=True))
    return np.einsum("bts,bcs->bct", weight / weight.sum(-1, keepdims=True), v)
