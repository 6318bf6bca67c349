"""A learned logit for each head joins the softmax and is dropped afterwards, as in gpt-oss. Right.

Source: https://github.com/openai/gpt-oss/blob/main/gpt_oss/torch/model.py
"""

import numpy as np

EXPECT = {"sdpa": {}}


def sdpa(Q, K, V, sinks):
    """Q, K, V: (batch, heads, tokens, head_dim); sinks (heads): a logit for each head without a value."""
    QK = np.einsum("bhqd,bhkd->bhqk", Q, K) / np.sqrt(Q.shape[-1])
    S = np.broadcast_to(sinks.reshape(1, -1, 1, 1), (*QK.shape[:-1], 1))
    QK = np.concatenate([QK, S], axis=-1)
    W = np.exp(QK - QK.max(axis=-1, keepdims=True))
    W = (W / W.sum(axis=-1, keepdims=True))[..., :-1]
    return np.einsum("bhqk,bhkd->bhqd", W, V)
