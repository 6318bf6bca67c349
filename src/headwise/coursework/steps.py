"""Multi-head self-attention step by step: every quantity between the tokens and the output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from headwise.attention import AttentionResult, attention, multi_head_attention
from headwise.shapes import Array


class AttentionSteps(NamedTuple):
    """The steps of one run, in order."""

    # (H, N, d): the rows of each head; values may have another width
    queries: Array
    keys: Array
    values: Array
    logits: Array  # (H, N, N): Q Kᵀ / √d; NaN where a causal mask hides the key
    weights: Array  # (H, N, N): the softmax of each row
    by_head: Array  # (H, N, e): weights times values
    output: Array  # (N, D'): the heads next to each other, times Woᵀ


def attention_steps(arrays: Mapping[str, Array], heads: int, *, causal: bool = False) -> AttentionSteps:
    """Compute every step of multi-head self-attention.

    `arrays`: X (N, D), Wq, Wk, Wv, and optionally Wo and biases; matrices are (out, in).
    `heads`: a divisor of the rows of Wq and Wv.
    `causal`: whether token n attends to the tokens up to n only.
    Raises ShapeError if the arrays do not fit one another.

    Examples
    --------
    >>> x = np.eye(2)
    >>> steps = attention_steps({"X": x, "Wq": x, "Wk": x, "Wv": x}, heads=1, causal=True)
    >>> steps.logits[0].round(2).tolist(), steps.weights[0].round(2).tolist()
    ([[0.71, nan], [0.0, 0.71]], [[1.0, 0.0], [0.33, 0.67]])
    """
    x = arrays["X"]
    result = multi_head(x, arrays, heads)  # which checks the shapes
    if causal:
        result = causal_multi_head(x, arrays, heads)
    q, k, v = project_heads(x, arrays, heads)
    logits = q @ k.mT / np.sqrt(q.shape[-1])
    if causal:
        logits = np.where(np.tri(len(x), dtype=bool), logits, np.nan)
    by_head = attention(q, k, v, causal=causal)
    return AttentionSteps(q, k, v, logits, result.weights, by_head, result.output)


def multi_head(tokens: Array, arrays: Mapping[str, Array], heads: int) -> AttentionResult:
    """Output (..., N, D') and weights (..., H, N, N) of tokens (..., N, D), with these matrices and biases."""
    arguments: dict[str, Any] = {**arrays, "X": tokens}
    return multi_head_attention(**arguments, heads=heads)


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
