"""The transformer's pre-norm block, and the MLP in it.

Source: Vaswani et al. (2017) with the normalisation moved before each sublayer, as in Dosovitskiy et al., "An Image is
Worth 16x16 Words", arXiv 2010.11929 (2020), equations 2 and 3.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.activation_functions import ActivationCache, activation_backward, activation_forward
from headwise.nn.attention import (
    SelfAttentionCache,
    self_attention_layer_backward,
    self_attention_layer_forward,
    self_attention_layer_params,
)
from headwise.nn.layer_norm import LayerNormCache, layer_norm_backward, layer_norm_forward, layer_norm_params
from headwise.nn.linear import LinearCache, linear_backward, linear_forward, linear_params
from headwise.nn.params import Params, join_params, subtree
from headwise.shapes import Array


class MlpCache(NamedTuple):
    """Caches of the three steps."""

    hidden: LinearCache
    activation: ActivationCache
    output: LinearCache


class BlockCache(NamedTuple):
    """Caches of the two sublayers, each after its normalisation."""

    norm_1: LayerNormCache
    attention: SelfAttentionCache
    norm_2: LayerNormCache
    mlp: MlpCache


def mlp_params(width: int, hidden: int, rng: np.random.Generator) -> Params:
    """``hidden`` (F, D) and ``output`` (D, F)."""
    return join_params(hidden=linear_params(width, hidden, rng), output=linear_params(hidden, width, rng))


def mlp_forward(x: Array, params: Params, residual: Array | None = None) -> tuple[Array, MlpCache]:
    """Compute y = W₂ gelu(W₁ x + b₁) + b₂ + residual, token by token, for x (..., D)."""
    hidden, hidden_cache = linear_forward(x, subtree(params, "hidden"))
    active, activation_cache = activation_forward(hidden, "gelu_tanh")
    y, output_cache = linear_forward(active, subtree(params, "output"), residual)
    return y, MlpCache(hidden_cache, activation_cache, output_cache)


def mlp_backward(dy: Array, cache: MlpCache) -> tuple[Array, Params]:
    """Gradients with respect to x (..., D), and to the parameters."""
    dactive, output_grads = linear_backward(dy, cache.output)
    dx, hidden_grads = linear_backward(activation_backward(dactive, cache.activation), cache.hidden)
    return dx, join_params(hidden=hidden_grads, output=output_grads)


def block_params(width: int, hidden: int, rng: np.random.Generator) -> Params:
    """``norm_1``, ``attention``, ``norm_2`` and ``mlp``."""
    return join_params(
        norm_1=layer_norm_params(width),
        attention=self_attention_layer_params(width, rng),
        norm_2=layer_norm_params(width),
        mlp=mlp_params(width, hidden, rng),
    )


def block_forward(
    x: Array, params: Params, *, heads: int, num_queries: int | None = None, return_weights: bool = False
) -> tuple[Array, BlockCache]:
    """One pre-norm block: z = x + attention(norm₁(x)), y = z + mlp(norm₂(z)).

    Parameters
    ----------
    x : ndarray of shape (B, N, D)
    params : dict
        As made by `block_params`.
    heads : int
        H, a divisor of D.
    num_queries : int, optional
        Compute only the first A tokens, for a last block of which only the class token is used; all N by default.
    return_weights : bool
        Keep the attention weights in the cache.

    Returns
    -------
    y : ndarray of shape (B, A, D)
    cache : BlockCache
    """
    normalized, norm_1 = layer_norm_forward(x, subtree(params, "norm_1"))
    z, attention = self_attention_layer_forward(
        normalized,
        subtree(params, "attention"),
        heads=heads,
        num_queries=num_queries,
        return_weights=return_weights,
        residual=x[:, :num_queries],
    )
    normalized, norm_2 = layer_norm_forward(z, subtree(params, "norm_2"))
    y, mlp = mlp_forward(normalized, subtree(params, "mlp"), residual=z)
    return y, BlockCache(norm_1, attention, norm_2, mlp)


def block_backward(dy: Array, cache: BlockCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, D), and to the parameters, for dy (B, A, D)."""
    dnormalized, mlp_grads = mlp_backward(dy, cache.mlp)
    dz, norm_2_grads = layer_norm_backward(dnormalized, cache.norm_2)
    dz += dy  # y = z + mlp(norm₂(z))
    dnormalized, attention_grads = self_attention_layer_backward(dz, cache.attention)
    dx, norm_1_grads = layer_norm_backward(dnormalized, cache.norm_1)
    dx[:, : dz.shape[1]] += dz  # z = x + attention(norm₁(x)), for the first A tokens
    return dx, join_params(norm_1=norm_1_grads, attention=attention_grads, norm_2=norm_2_grads, mlp=mlp_grads)
