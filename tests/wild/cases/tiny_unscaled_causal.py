"""A causal language model's head that never divides by the root of the width; matrices stand to the right of x.

Source: PAIR-code/tiny-transformers#71
"""

import numpy as np

EXPECT = {
    "attention": {"mistakes": ["scale-missing"], "conventions": ["in-out", "causal"]},
    "attention_scaled": {"conventions": ["in-out", "causal"]},
}


def _mix(raw, values):
    raw = np.where(np.tri(len(raw), dtype=bool), raw, -np.inf)
    probabilities = np.exp(raw - raw.max(axis=1, keepdims=True))
    return probabilities / probabilities.sum(axis=1, keepdims=True) @ values


def attention(x, w_query, w_key, w_value):
    queries, keys, values = x @ w_query, x @ w_key, x @ w_value
    return _mix(queries @ keys.T, values)


def attention_scaled(x, w_query, w_key, w_value):
    queries, keys, values = x @ w_query, x @ w_key, x @ w_value
    return _mix(queries @ keys.T / np.sqrt(keys.shape[-1]), values)
