"""A recipe for a memory-efficient kernel returns output · vᵀ as the attention: no softmax has made it.

Source: facebookresearch/dinov2#90
"""

import numpy as np

EXPECT = {"mem_eff_attention": {"mistakes": ["weights-from-outputs"]}}


def mem_eff_attention(q, k, v):
    """Returns the output and the attention."""
    s = q @ np.swapaxes(k, -1, -2) * q.shape[-1] ** -0.5
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    x = p / p.sum(axis=-1, keepdims=True) @ v
    return x, x @ np.swapaxes(v, -1, -2)
