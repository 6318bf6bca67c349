"""The multihead attention block (MAB) of set transformers: attention from one set of tokens to another.

Source: Lee et al., "Set Transformer", ICML 2019, arXiv 1810.00825, equations 6 and 7. As in the authors' code, the
projected queries themselves are what the attention is added to, the feed-forward layer is one linear layer and a ReLU,
and the normalisations may be left out. The logits are divided by √d, d the width of one head.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.attention import attention_backward, attention_forward
from headwise.attention.functional import AttentionCache
from headwise.nn.activation_functions import ActivationCache, activation_backward, activation_forward
from headwise.nn.layer_norm import LayerNormCache, layer_norm_backward, layer_norm_forward, layer_norm_params
from headwise.nn.linear import LinearCache, linear_backward, linear_forward, linear_params
from headwise.nn.params import Params, join_params, subtree
from headwise.shapes import Array, IntArray


class MabCache(NamedTuple):
    """Caches in the order of the forward pass; norms and weights are None if not used."""

    query: LinearCache
    key_value: LinearCache
    attention: AttentionCache
    norm_1: LayerNormCache | None
    output: LinearCache
    activation: ActivationCache
    norm_2: LayerNormCache | None
    weights: Array | None


def mab_params(query_dim: int, key_dim: int, width: int, rng: np.random.Generator, *, norm: bool) -> Params:
    """``query`` (D, query_dim), ``key_value`` (2D, key_dim), ``output`` (D, D), and norms if `norm`."""
    projections = [linear_params(key_dim, width, rng) for _ in range(2)]
    key_value = {name: np.concatenate([layer[name] for layer in projections]) for name in ("weight", "bias")}
    query, output = linear_params(query_dim, width, rng), linear_params(width, width, rng)
    norms = {name: layer_norm_params(width) for name in ("norm_1", "norm_2") if norm}
    return join_params(query=query, key_value=key_value, output=output, **norms)


def mab_forward(
    x: Array, y: Array, params: Params, *, heads: int, lengths: IntArray | None = None, return_weights: bool = False
) -> tuple[Array, MabCache]:
    """Compute h = norm₁(Wq x + attention(x, y)), z = norm₂(h + relu(W h + b)).

    Parameters
    ----------
    x : ndarray of shape (B, N, X)
        Queries.
    y : ndarray of shape (B, M, Y)
        Keys and values.
    params : dict
        As made by `mab_params`; norms are applied if it has any.
    heads : int
        H, a divisor of D.
    lengths : ndarray of int of shape (B,), optional
        Number of valid tokens of y in each item; the rest is padding, which no query attends to.
    return_weights : bool
        Keep the attention weights (B, H, N, M) in the cache.

    Returns
    -------
    z : ndarray of shape (B, N, D)
    cache : MabCache
    """
    b, n, _ = x.shape
    query, query_cache = linear_forward(x, subtree(params, "query"))
    key_value, key_value_cache = linear_forward(y, subtree(params, "key_value"))
    width = query.shape[-1]
    q = query.reshape(b, n, heads, width // heads).swapaxes(1, 2)  # (B, H, N, d)
    k, v = key_value.reshape(b, -1, 2, heads, width // heads).transpose(2, 0, 3, 1, 4)  # each (B, H, M, d)
    weights = None
    if return_weights:
        (o, weights), attention = attention_forward(q, k, v, lengths=lengths, return_weights=True)
    else:
        o, attention = attention_forward(q, k, v, lengths=lengths)
    h, norm_1 = _norm(query + o.swapaxes(1, 2).reshape(b, n, width), subtree(params, "norm_1"))
    hidden, output = linear_forward(h, subtree(params, "output"))
    positive, activation = activation_forward(hidden, "relu")
    z, norm_2 = _norm(h + positive, subtree(params, "norm_2"))
    return z, MabCache(query_cache, key_value_cache, attention, norm_1, output, activation, norm_2, weights)


def mab_backward(dz: Array, cache: MabCache) -> tuple[Array, Array, Params]:
    """Gradients with respect to x (B, N, X), to y (B, M, Y), and to the parameters."""
    dz, norm_2 = _norm_backward(dz, cache.norm_2)
    dh, output = linear_backward(activation_backward(dz, cache.activation), cache.output)
    dh = dh + dz  # z = h + relu(W h + b)
    dquery, norm_1 = _norm_backward(dh, cache.norm_1)
    b, n, width = dquery.shape
    _, heads, _, m = cache.attention.inputs.shape
    do = dquery.reshape(b, n, heads, width // heads).swapaxes(1, 2)
    dq, dk, dv = attention_backward(do, cache.attention)
    dquery = dquery + dq.swapaxes(1, 2).reshape(b, n, width)  # h = query + attention(query, …)
    dkey_value = np.stack([dk, dv]).transpose(1, 3, 0, 2, 4).reshape(b, m, 2 * width)
    dx, query = linear_backward(dquery, cache.query)
    dy, key_value = linear_backward(dkey_value, cache.key_value)
    grads = join_params(query=query, key_value=key_value, output=output, norm_1=norm_1, norm_2=norm_2)
    return dx, dy, grads


def _norm(x: Array, params: Params) -> tuple[Array, LayerNormCache | None]:
    return layer_norm_forward(x, params) if params else (x, None)


def _norm_backward(dy: Array, cache: LayerNormCache | None) -> tuple[Array, Params]:
    return (dy, {}) if cache is None else layer_norm_backward(dy, cache)
