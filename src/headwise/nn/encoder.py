"""The encoder of the class-token models: pre-norm blocks, then the class token through a norm and a linear head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from headwise.nn.attention import SelfAttentionCache
from headwise.nn.layer_norm import LayerNormCache, layer_norm_backward, layer_norm_forward, layer_norm_params
from headwise.nn.linear import LinearCache, linear_backward, linear_forward, linear_params
from headwise.nn.params import Params, collect, join_params, subtree, with_prefix
from headwise.nn.transformer_block import BlockCache, block_backward, block_forward, block_params
from headwise.shapes import Array


class EncoderCache(NamedTuple):
    """Caches in the order of the forward pass, and the number of tokens that the last block computed."""

    blocks: tuple[BlockCache, ...]
    norm: LayerNormCache
    head: LinearCache
    num_queries: int

    @property
    def attention_weights(self) -> Array:
        """Attention weights (B, L, H, N, N), if they were kept."""
        return stack_attention_weights(block.attention for block in self.blocks)


def encoder_params(d_model: int, n_layers: int, d_ff: int, n_outputs: int, rng: np.random.Generator) -> Params:
    """``blocks.0``, ``blocks.1``, …, then ``norm`` and ``head``."""
    params: Params = {}
    for i in range(n_layers):
        params |= with_prefix(f"blocks.{i}", block_params(d_model, d_ff, rng))
    return params | join_params(norm=layer_norm_params(d_model), head=linear_params(d_model, n_outputs, rng))


def encoder_forward(
    x: Array, params: Params, *, n_layers: int, heads: int, return_weights: bool = False
) -> tuple[Array, EncoderCache]:
    """Compute outputs from the class token, which is token 0.

    Parameters
    ----------
    x : ndarray of shape (B, N, D)
        Embedded tokens.
    params : dict
        As made by `encoder_params`; other parameters are ignored.
    n_layers, heads : int
        L and H.
    return_weights : bool
        Keep the attention weights of all tokens in the cache. Otherwise the last block computes the class token only.

    Returns
    -------
    outputs : ndarray of shape (B, E)
    cache : EncoderCache
    """
    blocks = []
    for i in range(n_layers):
        num_queries = 1 if i == n_layers - 1 and not return_weights else None
        block = subtree(params, f"blocks.{i}")
        x, cache = block_forward(x, block, heads=heads, num_queries=num_queries, return_weights=return_weights)
        blocks.append(cache)
    normalized, norm = layer_norm_forward(x[:, 0], subtree(params, "norm"))
    outputs, head = linear_forward(normalized, subtree(params, "head"))
    return outputs, EncoderCache(tuple(blocks), norm, head, x.shape[1])


def encoder_backward(doutputs: Array, cache: EncoderCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, D), and to the parameters."""
    dnormalized, head_grads = linear_backward(doutputs, cache.head)
    dclass, norm_grads = layer_norm_backward(dnormalized, cache.norm)
    grads = join_params(head=head_grads, norm=norm_grads)
    dx = np.zeros((len(dclass), cache.num_queries, dclass.shape[1]), doutputs.dtype)
    dx[:, 0] = dclass  # only the class token enters the head
    for i in reversed(range(len(cache.blocks))):
        dx = collect(grads, f"blocks.{i}", block_backward(dx, cache.blocks[i]))
    return dx, grads


def stack_attention_weights(layers: Iterable[SelfAttentionCache]) -> Array:
    """Attention weights (B, L, H, N, N) of layers that kept them."""
    return np.stack([layer.weights for layer in layers if layer.weights is not None], axis=1)
