"""Weights that are a distribution already go through a second softmax.

Source: lxk00/BERT-EMD#5
"""

import numpy as np

EXPECT = {"attention": {"mistakes": ["softmax-twice"]}}


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def layer_weights(q, k):
    return softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))


def attention(q, k, v):
    weight = softmax(layer_weights(q, k))
    return weight @ v
