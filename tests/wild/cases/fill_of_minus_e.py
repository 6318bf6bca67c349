"""Hidden scores are set to −e, Euler's number: padding keeps a visible share.

Source: hyunwoongko/transformer#10
"""

import math

import numpy as np

EXPECT = {"scale_dot_product_attention": {"mistakes": ["mask-fill-too-small"]}}


def scale_dot_product_attention(q, k, v, mask=None, e=math.e):
    k_t = np.swapaxes(k, -1, -2)
    score = q @ k_t / math.sqrt(q.shape[-1])
    if mask is not None:
        score = np.where(mask == 0, -e, score)
    score = np.exp(score - score.max(axis=-1, keepdims=True))
    return score / score.sum(axis=-1, keepdims=True) @ v
