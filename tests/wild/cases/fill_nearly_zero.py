"""Padding is filled with −10⁻⁷, which is nothing, where −10⁷ was meant.

Source: NTMC-Community/MatchZoo-py#163
"""

import numpy as np

EXPECT = {"attend": {"mistakes": ["mask-fill-too-small"]}}


def attend(q, k, v, mask=None):
    """mask: True for padding."""
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        scores = np.where(mask, -1e-7, scores)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return scores / scores.sum(axis=-1, keepdims=True) @ v
