"""One transformer block with the options of loaded models.

Two sublayers, attention and MLP, each in a residual branch:

- pre-norm: x ← x + λ ∘ norm′(f(norm(x)))
- post-norm: x ← norm(x + λ ∘ norm′(f(x)))

The norm′ of the branch and the LayerScale λ are used if the parameters contain them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
from headwise.nn.params import Params, collect, join_params, subtree
from headwise.shapes import Array


@dataclass(frozen=True)
class BlockOptions:
    """How one block computes."""

    attention: AttentionOptions
    activation: str = "gelu"  # one of `headwise.nn.activation_functions.ACTIVATIONS`
    norm: Norm = field(default_factory=Norm)
    post_norm: bool = False  # normalise after the residual sum instead of before the sublayer


class BranchCache(NamedTuple):
    """Caches around a sublayer: norm, branch norm, and LayerScale with the branch before it."""

    norm: NormCache | None
    branch_norm: NormCache | None
    scale: tuple[Array, Array] | None


class EncoderBlockCache(NamedTuple):
    """Caches of the two sublayers and of what surrounds them."""

    options: BlockOptions
    attention_branch: BranchCache
    attention: SublayerCache
    mlp_branch: BranchCache
    mlp: GatedMlpCache


def encoder_block_forward(
    x: Array, params: Params, options: BlockOptions, context: AttentionContext, *, return_weights: bool = False
) -> tuple[Array, EncoderBlockCache]:
    """One block for x (B, N, D), with the attention weights in the cache if they are requested.

    Params are ``norm_1``, ``attention``, ``norm_2`` and ``mlp``; optionally ``attention_norm`` and ``mlp_norm`` (norms
    of the branches), ``attention_scale`` and ``mlp_scale`` (D,).
    """
    inner, norm_1 = _enter(x, params, "norm_1", options)
    attended, attention = attention_layer_forward(
        inner, subtree(params, "attention"), options.attention, context, return_weights=return_weights
    )
    z, attention_branch = _leave(x, attended, params, ("norm_1", "attention"), options, norm_1)
    inner, norm_2 = _enter(z, params, "norm_2", options)
    transformed, mlp = gated_mlp_forward(inner, subtree(params, "mlp"), options.activation)
    y, mlp_branch = _leave(z, transformed, params, ("norm_2", "mlp"), options, norm_2)
    return y, EncoderBlockCache(options, attention_branch, attention, mlp_branch, mlp)


def encoder_block_backward(dy: Array, cache: EncoderBlockCache) -> tuple[Array, Params, Array]:
    """Gradients with respect to x (B, N, D) and the parameters; and to o (B, H, N, e), the output of attention."""
    dsum, dbranch, grads = _leave_backward(dy, cache.mlp_branch, ("norm_2", "mlp"), cache.options)
    dinner, mlp_grads = gated_mlp_backward(dbranch, cache.mlp)
    dz = dsum + _enter_backward(dinner, cache.mlp_branch, "norm_2", cache.options, grads)
    dsum, dbranch, more = _leave_backward(dz, cache.attention_branch, ("norm_1", "attention"), cache.options)
    dinner, attention_grads, do = attention_layer_backward(dbranch, cache.attention)
    dx = dsum + _enter_backward(dinner, cache.attention_branch, "norm_1", cache.options, grads)
    grads |= more | join_params(attention=attention_grads, mlp=mlp_grads)
    return dx, grads, do


def _enter(x: Array, params: Params, name: str, options: BlockOptions) -> tuple[Array, NormCache | None]:
    """The input of a sublayer: normalised, in a pre-norm block that has this norm."""
    gain = subtree(params, name)
    if options.post_norm or not gain:
        return x, None
    return norm_forward(x, gain, options.norm)


def _enter_backward(dinner: Array, cache: BranchCache, name: str, options: BlockOptions, grads: Params) -> Array:
    if options.post_norm or cache.norm is None:
        return dinner
    return collect(grads, name, norm_backward(dinner, cache.norm))


def _leave(
    x: Array, branch: Array, params: Params, names: tuple[str, str], options: BlockOptions, norm: NormCache | None
) -> tuple[Array, BranchCache]:
    """The residual sum: branch norm and LayerScale if there are any, and the norm of a post-norm block."""
    norm_name, sublayer = names
    branch_norm = scaled = None
    if gain := subtree(params, f"{sublayer}_norm"):
        branch, branch_norm = norm_forward(branch, gain, options.norm)
    if (scale := params.get(f"{sublayer}_scale")) is not None:
        scaled = (scale, branch)
        branch = branch * scale
    y: Array = x + branch
    if options.post_norm:
        y, norm = norm_forward(y, subtree(params, norm_name), options.norm)
    return y, BranchCache(norm, branch_norm, scaled)


def _leave_backward(
    dy: Array, cache: BranchCache, names: tuple[str, str], options: BlockOptions
) -> tuple[Array, Array, Params]:
    """Gradients with respect to the residual stream and to the sublayer's output, and to the parameters."""
    norm_name, sublayer = names
    grads: Params = {}
    if options.post_norm and cache.norm is not None:
        dy = collect(grads, norm_name, norm_backward(dy, cache.norm))
    dbranch: Array = dy
    if cache.scale is not None:
        scale, branch = cache.scale
        product: Array = dbranch * branch
        grads[f"{sublayer}_scale"] = product.reshape(-1, scale.size).sum(axis=0)
        dbranch = dbranch * scale
    if cache.branch_norm is not None:
        dbranch = collect(grads, f"{sublayer}_norm", norm_backward(dbranch, cache.branch_norm))
    return dy, dbranch, grads
