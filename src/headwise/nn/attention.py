"""Multi-head self-attention as a layer: project, attend, project."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.attention import attention_backward, attention_forward
from headwise.attention.operator import Cache
from headwise.nn.linear import LinearCache, linear_backward, linear_forward, linear_params
from headwise.nn.params import Params, scope, scoped
from headwise.shapes import Array

__all__ = [
    "SelfAttentionCache",
    "self_attention_layer_backward",
    "self_attention_layer_forward",
    "self_attention_layer_params",
]


class SelfAttentionCache(NamedTuple):
    """Caches of the three steps, and the attention weights (B, H, N, N) if they were asked for."""

    qkv: LinearCache
    attention: Cache
    output: LinearCache
    weights: Array | None


def self_attention_layer_params(width: int, rng: np.random.Generator) -> Params:
    """``qkv`` (3D, D), whose rows are those of Wq, then Wk, then Wv; ``output`` (D, D)."""
    square = [linear_params(width, width, rng) for _ in range(3)]
    qkv = {name: np.concatenate([part[name] for part in square]) for name in ("weight", "bias")}
    return scoped("qkv", qkv) | scoped("output", linear_params(width, width, rng))


def self_attention_layer_forward(
    x: Array, params: Params, *, heads: int, return_weights: bool = False, residual: Array | None = None
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
    return_weights : bool
        Keep the attention weights in the cache.
    residual : ndarray of shape (B, N, D), optional
        Added to the output; its gradient is dy itself.

    Returns
    -------
    y : ndarray of shape (B, N, D)
    cache : SelfAttentionCache
    """
    b, n, width = x.shape
    qkv, qkv_cache = linear_forward(x, scope(params, "qkv"))
    q, k, v = qkv.reshape(b, n, 3, heads, width // heads).transpose(2, 0, 3, 1, 4)  # each (B, H, N, d)
    if return_weights:
        (o, weights), attention_cache = attention_forward(q, k, v, return_weights=True)
    else:
        o, attention_cache = attention_forward(q, k, v)
        weights = None
    joined = o.swapaxes(1, 2).reshape(b, n, width)  # (B, H, N, d) -> (B, N, D): heads side by side
    y, output_cache = linear_forward(joined, scope(params, "output"), residual)
    return y, SelfAttentionCache(qkv_cache, attention_cache, output_cache, weights)


def self_attention_layer_backward(dy: Array, cache: SelfAttentionCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, D), and to the parameters."""
    djoined, output_grads = linear_backward(dy, cache.output)
    b, n, width = djoined.shape
    heads = cache.attention.problem.shape[-3]
    do = djoined.reshape(b, n, heads, width // heads).swapaxes(1, 2)  # joined: heads side by side
    dqkv = np.empty((b, n, 3, heads, width // heads), dy.dtype)
    for i, part in enumerate(attention_backward(do, cache.attention)):
        dqkv[:, :, i] = part.swapaxes(1, 2)  # q, k, v are the thirds of qkv
    dx, qkv_grads = linear_backward(dqkv.reshape(b, n, 3 * width), cache.qkv)
    return dx, scoped("qkv", qkv_grads) | scoped("output", output_grads)
