"""A learned query that attends to all tokens, and an MLP: the pooling head of SigLIP's image tower.

Source: Zhai et al., "Scaling Vision Transformers", arXiv 2106.04560 (2021), section 3.3 (multihead attention pooling).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from headwise.models.encoder.attention import (
    AttentionContext,
    AttentionOptions,
    SublayerCache,
    attention_layer_backward,
    attention_layer_forward,
)
from headwise.models.encoder.mlp import GatedMlpCache, gated_mlp_backward, gated_mlp_forward
from headwise.models.encoder.norms import Norm, NormCache, norm_backward, norm_forward
from headwise.nn.params import Params, collect, subtree
from headwise.shapes import Array, BoolArray


@dataclass(frozen=True)
class AttentionPooling:
    """How tokens are pooled: y = z + mlp(norm(z)) with z = attention(probe, tokens)."""

    heads: int
    activation: str
    norm: Norm
    source: str = "last_hidden_state"  # the output that is pooled


class AttentionPoolingCache(NamedTuple):
    """Caches in the order of the forward pass."""

    attention: SublayerCache
    norm: NormCache
    mlp: GatedMlpCache


def attention_pooling_forward(
    x: Array, params: Params, options: AttentionPooling, *, mask: BoolArray | None = None, return_weights: bool = False
) -> tuple[Array, AttentionPoolingCache]:
    """Pool x (B, N, D) into (B, D); params are ``probe`` (D,), four projections, ``norm`` and ``mlp``.

    The mask (B, 1, 1, N) is True where the probe may attend.
    """
    heads, context = AttentionOptions(options.heads, options.heads), AttentionContext(mask)
    z, attention = attention_layer_forward(x, params, heads, context, return_weights=return_weights)
    z = z[:, 0]
    normal, norm = norm_forward(z, subtree(params, "norm"), options.norm)
    branch, mlp = gated_mlp_forward(normal, subtree(params, "mlp"), options.activation)
    return z + branch, AttentionPoolingCache(attention, norm, mlp)


def attention_pooling_backward(dy: Array, cache: AttentionPoolingCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, D), and to the parameters."""
    grads: Params = {}
    dnormal = collect(grads, "mlp", gated_mlp_backward(dy, cache.mlp))
    dz = collect(grads, "norm", norm_backward(dnormal, cache.norm)) + dy
    dx, attention_grads, _ = attention_layer_backward(dz[:, None], cache.attention)
    return dx, grads | attention_grads
