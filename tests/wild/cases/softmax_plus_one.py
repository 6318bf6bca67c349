"""One is added to the softmax's sum, so that a head may attend to nothing: by design.

Source: karpathy/llama2.c#59
"""

import numpy as np

EXPECT = {"attention_off_by_one": {"conventions": ["sink"]}}


def attention_off_by_one(q, k, v):
    """Softmax-plus-one: exp(s) / (1 + sum(exp(s)))."""
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    top = np.maximum(s.max(axis=-1, keepdims=True), 0)
    e = np.exp(s - top)
    return e / (np.exp(-top) + e.sum(axis=-1, keepdims=True)) @ v
