"""Scores are divided by the width of the keys and not by its root.

Source: delzac/cntkx#10
"""

import numpy as np

EXPECT = {"scaled_dot_product_attention": {"mistakes": ["scale-no-root"]}}


def scaled_dot_product_attention(query, key, value):
    dk = key.shape[-1]
    unnormalised = np.matmul(query, np.swapaxes(key, -1, -2)) / dk
    unnormalised = unnormalised - np.max(unnormalised, axis=-1, keepdims=True)
    weight = np.exp(unnormalised)
    return np.matmul(weight / np.sum(weight, axis=-1, keepdims=True), value)
