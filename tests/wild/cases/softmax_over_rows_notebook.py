"""A vision transformer notebook takes the softmax of (batch, queries, keys) over axis 1.

Source: nerminnuraydogan/vision-transformer#1
"""

import numpy as np

EXPECT = {"single_head": {"mistakes": ["softmax-axis"]}}


def softmax(z, axis):
    z = np.exp(z - z.max(axis=axis, keepdims=True))
    return z / z.sum(axis=axis, keepdims=True)


def single_head(Q, K, V):
    """Q, K, V: (batch, patches, head_dim)."""
    scores = Q @ K.transpose(0, 2, 1) / Q.shape[-1] ** 0.5
    return softmax(scores, axis=1) @ V
