"""The encoder layer of the series transformer: post-norm, with batch normalisation over the valid time steps.

Source: Zerveas et al., "A Transformer-based Framework for Multivariate Time Series Representation Learning", arXiv
2010.02803 (2021), section 3.1. There, padded steps enter the statistics of the normalisation (so in the authors' public
code); here everything but attention sees the valid steps alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.attention import (
    SelfAttentionCache,
    self_attention_layer_backward,
    self_attention_layer_forward,
    self_attention_layer_params,
)
from headwise.nn.batch_norm import BatchNormCache, batch_norm_backward, batch_norm_forward, batch_norm_params
from headwise.nn.dropout import dropout_backward, dropout_forward
from headwise.nn.padding import Padding
from headwise.nn.params import Params, join_params, subtree
from headwise.nn.transformer_block import MlpCache, mlp_backward, mlp_forward, mlp_params
from headwise.shapes import Array


class EncoderLayerCache(NamedTuple):
    """Caches of the two sublayers, each with its dropout and its normalisation."""

    padding: Padding
    attention: SelfAttentionCache
    dropout_1: Array | None
    norm_1: BatchNormCache
    mlp: MlpCache
    dropout_2: Array | None
    norm_2: BatchNormCache

    @property
    def batch_stats(self) -> Params:
        """Statistics of the batch, towards which the running averages move."""
        return join_params(norm_1=self.norm_1.batch_stats, norm_2=self.norm_2.batch_stats)


def encoder_layer_params(width: int, hidden: int, rng: np.random.Generator) -> Params:
    """``attention``, ``norm_1``, ``mlp`` and ``norm_2``."""
    return join_params(
        attention=self_attention_layer_params(width, rng),
        norm_1=batch_norm_params(width),
        mlp=mlp_params(width, hidden, rng),
        norm_2=batch_norm_params(width),
    )


def encoder_layer_forward(
    rows: Array,
    params: Params,
    padding: Padding,
    *,
    heads: int,
    dropout: float = 0.0,
    rng: np.random.Generator | None = None,
    return_weights: bool = False,
) -> tuple[Array, EncoderLayerCache]:
    """One post-norm layer: z = norm₁(x + drop(attention(x))), y = norm₂(z + drop(mlp(z))).

    Parameters
    ----------
    rows : ndarray of shape (R, D)
        The valid time steps of all items.
    params : dict
        As made by `encoder_layer_params`.
    padding : Padding
        Which steps of which item they are.
    heads : int
        H, a divisor of D.
    dropout : float
    rng : Generator, optional
        While training: dropout is drawn from it, and the normalisation uses the batch's statistics.
    return_weights : bool
        Keep the attention weights in the cache.

    Returns
    -------
    y : ndarray of shape (R, D)
    cache : EncoderLayerCache
    """
    training = rng is not None
    inputs, weights = padding.pad(rows), subtree(params, "attention")
    attended, attention = self_attention_layer_forward(
        inputs, weights, heads=heads, lengths=padding.lengths, return_weights=return_weights
    )
    dropped, dropout_1 = dropout_forward(padding.unpad(attended), dropout, rng)
    z, norm_1 = batch_norm_forward(rows + dropped, subtree(params, "norm_1"), training=training)
    hidden, mlp = mlp_forward(z, subtree(params, "mlp"))
    dropped, dropout_2 = dropout_forward(hidden, dropout, rng)
    y, norm_2 = batch_norm_forward(z + dropped, subtree(params, "norm_2"), training=training)
    return y, EncoderLayerCache(padding, attention, dropout_1, norm_1, mlp, dropout_2, norm_2)


def encoder_layer_backward(dy: Array, cache: EncoderLayerCache) -> tuple[Array, Params]:
    """Gradients with respect to the rows (R, D), and to the parameters."""
    dsum, norm_2_grads = batch_norm_backward(dy, cache.norm_2)
    dz, mlp_grads = mlp_backward(dropout_backward(dsum, cache.dropout_2), cache.mlp)
    dz += dsum  # y = norm₂(z + drop(mlp(z)))
    dsum, norm_1_grads = batch_norm_backward(dz, cache.norm_1)
    dattended = cache.padding.pad(dropout_backward(dsum, cache.dropout_1))
    dx, attention_grads = self_attention_layer_backward(dattended, cache.attention)
    grads = join_params(attention=attention_grads, norm_1=norm_1_grads, mlp=mlp_grads, norm_2=norm_2_grads)
    return dsum + cache.padding.unpad(dx), grads  # z = norm₁(x + drop(attention(x)))
