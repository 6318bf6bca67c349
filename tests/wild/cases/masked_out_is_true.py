"""attention_mask_func fills where the mask is True: hidden, as the answer in the thread says. Right.

Source: NVIDIA/TransformerEngine#614
"""

import numpy as np

EXPECT = {"unfused_dot_product_attention": {"conventions": ["mask-hides"]}}


def unfused_dot_product_attention(query, key, value, attention_mask=None):
    """attention_mask: True means that the position is masked out."""
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])
    if attention_mask is not None:
        scores = np.where(attention_mask, -10000.0, scores)
    probs = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return probs / probs.sum(axis=-1, keepdims=True) @ value
