"""A mask that is made elsewhere, −∞ where it is False, and zeros where a whole row is hidden. Right.

Source: soskek/attention_is_all_you_need#3
"""

import numpy as np

EXPECT = {"attention": {}}


def attention(query, key, value, mask=None):
    """mask[b, i, j]: whether source word i of pair b can attend to target word j."""
    score = np.matmul(query, np.swapaxes(key, -1, -2)) * query.shape[-1] ** -0.5
    if mask is not None:
        score = np.where(mask, score, -np.inf)
    with np.errstate(invalid="ignore"):
        weight = np.exp(score - score.max(axis=-1, keepdims=True))
        weight = weight / weight.sum(axis=-1, keepdims=True)
    weight = np.where(np.isnan(weight), 0, weight)
    return np.matmul(weight, value)
