"""In OpenNMT a mask's ones are keys that get no attention; the docstring said the opposite for a while. Right.

Source: OpenNMT/OpenNMT-py#1479
"""

import numpy as np

EXPECT = {"multi_headed": {"conventions": ["mask-hides"]}}


def multi_headed(query, key, value, mask=None):
    """mask: binary mask, 1/0 indicating which keys have zero / non-zero attention, [batch, query_len, key_len]."""
    scores = query @ np.swapaxes(key, 2, 3) / np.sqrt(query.shape[-1])
    if mask is not None:
        scores = np.where(mask[:, None].astype(bool), -1e18, scores)
    attn = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return attn / attn.sum(axis=-1, keepdims=True) @ value
