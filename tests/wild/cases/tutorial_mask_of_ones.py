"""TensorFlow's tutorial: mask · −10⁹ is added, so that ones are padding; returns output and weights. Right.

Source: https://www.tensorflow.org/text/tutorials/transformer
"""

import numpy as np

EXPECT = {"scaled_dot_product_attention": {"conventions": ["mask-hides"]}}


def scaled_dot_product_attention(q, k, v, mask):
    """mask: ones at positions that get no attention, broadcastable to (..., seq_len_q, seq_len_k)."""
    matmul_qk = np.matmul(q, np.swapaxes(k, -1, -2))
    scaled_attention_logits = matmul_qk / np.sqrt(k.shape[-1])
    if mask is not None:
        scaled_attention_logits = scaled_attention_logits + mask * -1e9
    e = np.exp(scaled_attention_logits - scaled_attention_logits.max(axis=-1, keepdims=True))
    attention_weights = e / e.sum(axis=-1, keepdims=True)
    return np.matmul(attention_weights, v), attention_weights
