"""Multi-head attention with a causal mask, from the coursework's arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from headwise.attention import AttentionResult, attention
from headwise.shapes import Array


def project_heads(tokens: Array, arrays: Mapping[str, Array], heads: int) -> tuple[Array, Array, Array]:
    """Queries, keys and values by head: (..., H, N, d) each, from tokens (..., N, D)."""
    projections = (tokens @ arrays[f"W{name}"].T + arrays.get(f"b{name}", 0) for name in "qkv")
    q, k, v = (np.stack(np.split(array, heads, axis=-1), axis=-3) for array in projections)
    return q, k, v


def causal_multi_head(tokens: Array, arrays: Mapping[str, Array], heads: int) -> AttentionResult:
    """Output (..., N, D') and weights (..., H, N, N) where token n attends to the tokens up to n only.

    `tokens` (..., N, D).
    `arrays`: Wq, Wk, Wv, and optionally Wo and biases; matrices are (out, in).
    `heads`: a divisor of the rows of Wq and Wv.

    Examples
    --------
    >>> x = np.eye(3)
    >>> causal_multi_head(x, {"Wq": x, "Wk": x, "Wv": x}, heads=1).weights[0, 0]
    array([1., 0., 0.])
    """
    by_head, weights = attention(*project_heads(tokens, arrays, heads), causal=True, return_weights=True)
    output = np.concatenate(list(np.moveaxis(by_head, -3, 0)), axis=-1)
    if "Wo" in arrays:
        output = output @ arrays["Wo"].T
    return AttentionResult(output + arrays.get("bo", 0), weights)
