"""The logits are multiplied by the mask: a hidden key keeps a logit of zero, and its share of the softmax.

Source: georg-wolflein/good-features#1
"""

import numpy as np

EXPECT = {"masked_attention": {"mistakes": ["mask-fill-too-small"]}, "masked_attention_corrected": {}}


def _softmax(s):
    top = s.max(axis=-1, keepdims=True)
    e = np.exp(s - np.where(np.isneginf(top), 0, top))
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def masked_attention(q, k, v, mask=None):
    """mask: True for patches that exist."""
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(k.shape[-1])
    if mask is not None:
        s = s * mask
    return _softmax(s) @ v


def masked_attention_corrected(q, k, v, mask=None):
    """mask: True for patches that exist."""
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(k.shape[-1])
    if mask is not None:
        s = np.where(mask, s, -np.inf)
    return _softmax(s) @ v
