"""exp of raw logits: right on ordinary inputs, infinite on large ones.

Source: prescient-design/e3tools#3
"""

import numpy as np

EXPECT = {"attention": {"hazards": ["softmax-overflow"]}}


def attention(query, key, value):
    exp = np.exp(np.einsum("...qd,...kd->...qk", query, key) / query.shape[-1] ** 0.5)
    return np.einsum("...qk,...kd->...qd", exp / exp.sum(axis=-1, keepdims=True), value)
