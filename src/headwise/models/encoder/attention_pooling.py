"""A learned query that attends to all tokens, and an MLP: the pooling head of SigLIP's image tower.

Source: Zhai et al., "Scaling Vision Transformers", arXiv 2106.04560 (2021), section 3.3 (multihead attention pooling).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headwise.attention.functional import AttentionCache, attention_backward, attention_forward
from headwise.models.encoder.mlp import GatedMlpCache, gated_mlp_backward, gated_mlp_forward
from headwise.models.encoder.norms import Norm, NormCache, norm_backward, norm_forward
from headwise.nn import LinearCache, Params, linear_backward_parallel, linear_forward, subtree, with_prefix
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

    projections: dict[str, LinearCache]
    attention: AttentionCache
    output: LinearCache
    norm: NormCache
    mlp: GatedMlpCache
    o: Array
    weights: Array | None


def attention_pooling_forward(
    x: Array, params: Params, options: AttentionPooling, *, mask: BoolArray | None = None, return_weights: bool = False
) -> tuple[Array, AttentionPoolingCache]:
    """Pool x (B, N, D) into (B, D); params are ``probe`` (D,), four projections, ``norm`` and ``mlp``.

    The mask (B, 1, 1, N) is True where the probe may attend.
    """
    probe = np.broadcast_to(params["probe"], (len(x), 1, x.shape[2]))
    projections: dict[str, LinearCache] = {}
    arrays = []
    for name, source in (("query", probe), ("key", x), ("value", x)):
        y, projections[name] = linear_forward(source, subtree(params, name))
        arrays.append(y.reshape(*y.shape[:2], options.heads, -1).swapaxes(1, 2))
    result, attention = attention_forward(*arrays, mask=mask, return_weights=return_weights)
    o, weights = result if return_weights else (result, None)
    z, output = linear_forward(o.swapaxes(1, 2).reshape(len(x), -1), subtree(params, "output"))
    normal, norm = norm_forward(z, subtree(params, "norm"), options.norm)
    branch, mlp = gated_mlp_forward(normal, subtree(params, "mlp"), options.activation)
    return z + branch, AttentionPoolingCache(projections, attention, output, norm, mlp, o, weights)


def attention_pooling_backward(dy: Array, cache: AttentionPoolingCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, D), and to the parameters."""
    dnormal, mlp_grads = gated_mlp_backward(dy, cache.mlp)
    dz, norm_grads = norm_backward(dnormal, cache.norm)
    djoined, output_grads = linear_backward_parallel(dz + dy, cache.output)
    b, heads, _, width = cache.o.shape
    gradients = attention_backward(djoined.reshape(b, heads, 1, width), cache.attention)
    grads = with_prefix("mlp", mlp_grads) | with_prefix("norm", norm_grads) | with_prefix("output", output_grads)
    dx = None
    for name, gradient in zip(("query", "key", "value"), gradients, strict=True):
        joined = gradient.swapaxes(1, 2).reshape(b, -1, heads * width)
        dsource, part_grads = linear_backward_parallel(joined, cache.projections[name])
        grads |= with_prefix(name, part_grads)
        if name == "query":
            grads["probe"] = dsource.sum(axis=(0, 1))
        else:
            dx = dsource if dx is None else dx + dsource
    assert dx is not None  # keys and values read x
    return dx, grads
