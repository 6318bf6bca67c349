"""Softmax, then the mask, then a division by what is left: the same as masking before the softmax.

Only a query that may see nothing divides zero by zero. Both threads take it for a mistake, and are answered.

Source: ruotianluo/self-critical.pytorch#89
"""

import numpy as np

EXPECT = {"attention": {"hazards": ["mask-all-hidden-nan"]}}


def attention(query, key, value, att_masks=None):
    """att_masks: 1 for regions that exist, 0 for padding."""
    dot = query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])
    weight = np.exp(dot - dot.max(axis=-1, keepdims=True))
    weight = weight / weight.sum(axis=-1, keepdims=True)
    if att_masks is not None:
        weight = weight * att_masks
        weight = weight / weight.sum(axis=-1, keepdims=True)
    return weight @ value
