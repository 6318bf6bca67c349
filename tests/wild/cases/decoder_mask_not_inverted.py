"""The decoder's mask at translation time is the upper triangle itself, where in training it is what is not in it.

Source: hkproj/pytorch-transformer#19
"""

import numpy as np

EXPECT = {"causal_attention": {"mistakes": ["causal-reversed"]}, "causal_attention_in_training": {}}


def _attend(q, k, v, mask):
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    scores = np.where(mask == 0, -1e9, scores)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True) @ v


def causal_attention(q, k, v):
    n = q.shape[-2]
    return _attend(q, k, v, np.triu(np.ones((n, n), int), k=1))


def causal_attention_in_training(q, k, v):
    n = q.shape[-2]
    return _attend(q, k, v, np.triu(np.ones((n, n), int), k=1) == 0)
