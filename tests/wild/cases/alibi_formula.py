"""Linear biases that fall with the distance, after a correction of the sign in a formula; and the formula before it.

Source: labmlai/annotated_deep_learning_paper_implementations#226
"""

import numpy as np

EXPECT = {
    "alibi_attention": {"conventions": ["alibi"]},
    "alibi_attention_before": {"mistakes": ["alibi-sign"], "variant": True},
}


def _attend(q, k, v, sign):
    heads, n, d = q.shape[-3:]
    slopes = 2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)
    distance = np.arange(n)[:, None] - np.arange(n)
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(d) + sign * slopes[:, None, None] * distance
    scores = np.where(distance >= 0, scores, -np.inf)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True) @ v


def alibi_attention(q, k, v):
    """Causal attention with linear biases, q, k, v: (batch, heads, tokens, d)."""
    return _attend(q, k, v, -1)


def alibi_attention_before(q, k, v):
    """Causal attention with linear biases, q, k, v: (batch, heads, tokens, d)."""
    return _attend(q, k, v, 1)
