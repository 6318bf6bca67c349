"""triu with diagonal=1 used as what is visible below it: every token sees the one that it should predict.

Source: RVC-Boss/GPT-SoVITS#965
"""

import numpy as np

EXPECT = {"causal_attention": {"mistakes": ["causal-off-by-one"]}, "causal_attention_corrected": {}}


def _attend(q, k, v, hidden):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    s = np.where(hidden, -np.inf, s)
    p = np.exp(s - s.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True) @ v


def causal_attention(q, k, v):
    n = q.shape[-2]
    return _attend(q, k, v, np.triu(np.ones((n, n), bool), k=2))


def causal_attention_corrected(q, k, v):
    n = q.shape[-2]
    return _attend(q, k, v, np.triu(np.ones((n, n), bool), k=1))
