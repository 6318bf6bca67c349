"""Multi-head self-attention as a layer: project, attend, project."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.attention import attention_backward, attention_forward
from headwise.attention.functional import AttentionCache
from headwise.nn.linear import LinearCache, linear_backward, linear_forward, linear_params
from headwise.nn.params import Params, join_params, subtree
from headwise.shapes import Array, IntArray


class SelfAttentionCache(NamedTuple):
    """Caches of the four steps, and the attention weights (B, H, A, N) if they were kept."""

    query: LinearCache
    key_value: LinearCache
    attention: AttentionCache
    output: LinearCache
    weights: Array | None


def self_attention_layer_params(width: int, rng: np.random.Generator) -> Params:
    """``qkv`` (3D, D), whose rows are those of Wq, then Wk, then Wv; ``output`` (D, D)."""
    projections = [linear_params(width, width, rng) for _ in range(3)]
    qkv = {name: np.concatenate([layer[name] for layer in projections]) for name in ("weight", "bias")}
    return join_params(qkv=qkv, output=linear_params(width, width, rng))


def self_attention_layer_forward(
    x: Array,
    params: Params,
    *,
    heads: int,
    num_queries: int | None = None,
    lengths: IntArray | None = None,
    return_weights: bool = False,
    residual: Array | None = None,
) -> tuple[Array, SelfAttentionCache]:
    """Multi-head self-attention with a final transformation.

    Parameters
    ----------
    x : ndarray of shape (B, N, D)
    params : dict
        ``qkv.weight`` (3D, D), ``qkv.bias`` (3D,), ``output.weight`` (D, D), ``output.bias`` (D,). Head h owns rows
        h·d … (h+1)·d − 1 of each third of ``qkv``.
    heads : int
        H, a divisor of D.
    num_queries : int, optional
        Only the first A tokens are queries and have outputs; all N by default. Every token is a key.
    lengths : ndarray of int of shape (B,), optional
        Number of valid tokens of each item; the rest is padding, which no query attends to.
    return_weights : bool
        Keep the attention weights in the cache.
    residual : ndarray of shape (B, A, D), optional
        Added to the output; its gradient is dy itself.

    Returns
    -------
    y : ndarray of shape (B, A, D)
    cache : SelfAttentionCache
    """
    b, n, width = x.shape
    num_queries = n if num_queries is None else num_queries
    query_params, key_value_params = _split(subtree(params, "qkv"), width)
    query, query_cache = linear_forward(x[:, :num_queries], query_params)
    key_value, key_value_cache = linear_forward(x, key_value_params)
    q = query.reshape(b, num_queries, heads, width // heads).swapaxes(1, 2)  # (B, H, A, d)
    k, v = key_value.reshape(b, n, 2, heads, width // heads).transpose(2, 0, 3, 1, 4)  # each (B, H, N, d)
    if return_weights:
        (o, weights), attention_cache = attention_forward(q, k, v, lengths=lengths, return_weights=True)
    else:
        o, attention_cache = attention_forward(q, k, v, lengths=lengths)
        weights = None
    joined = o.swapaxes(1, 2).reshape(b, num_queries, width)  # (B, H, A, d) -> (B, A, D): heads side by side
    y, output_cache = linear_forward(joined, subtree(params, "output"), residual)
    return y, SelfAttentionCache(query_cache, key_value_cache, attention_cache, output_cache, weights)


def self_attention_layer_backward(dy: Array, cache: SelfAttentionCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, D), and to the parameters, for dy (B, A, D)."""
    djoined, output_grads = linear_backward(dy, cache.output)
    *_, heads, num_queries, n = cache.attention.inputs.shape
    b, _, width = djoined.shape
    do = djoined.reshape(b, num_queries, heads, width // heads).swapaxes(1, 2)  # joined: heads side by side
    dq, dk, dv = attention_backward(do, cache.attention)
    dkey_value = np.empty((b, n, 2, heads, width // heads), dy.dtype)
    for i, gradient in enumerate((dk, dv)):
        dkey_value[:, :, i] = gradient.swapaxes(1, 2)
    dx, key_value_grads = linear_backward(dkey_value.reshape(b, n, 2 * width), cache.key_value)
    dqueries, query_grads = linear_backward(dq.swapaxes(1, 2).reshape(b, num_queries, width), cache.query)
    dx[:, :num_queries] += dqueries  # the queries are keys as well
    qkv = {name: np.concatenate([query_grads[name], key_value_grads[name]]) for name in query_grads}
    return dx, join_params(qkv=qkv, output=output_grads)


def _split(qkv: Params, width: int) -> tuple[Params, Params]:
    """The rows of Wq, and those of Wk and Wv."""
    return {name: a[:width] for name, a in qkv.items()}, {name: a[width:] for name, a in qkv.items()}
