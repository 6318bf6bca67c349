"""The attention sublayer of loaded models: projections, optional norms of queries and keys, rotation, grouped heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from headwise.attention.functional import AttentionCache, attention_backward, attention_forward
from headwise.attention.masks import Window
from headwise.models.encoder.norms import Norm, NormCache, norm_backward, norm_forward
from headwise.nn.linear import LinearCache, linear_backward_parallel, linear_forward
from headwise.nn.params import Params, collect, subtree, with_prefix
from headwise.nn.rotary import Rotation, rotary_backward, rotary_forward
from headwise.shapes import Array, BoolArray


@dataclass(frozen=True)
class AttentionOptions:
    """How one attention sublayer computes."""

    # H and G; query head h reads key head h // (H/G)
    heads: int
    key_heads: int
    scale: float | None = None  # factor of the logits; None is 1/√d
    causal: bool = False  # a token attends to itself and earlier ones
    window: Window = None  # how many keys before and after its own a token may attend to
    softcap: float | None = None  # c in logits ← c · tanh(logits / c)
    # normalises queries and keys where the parameters contain ``query_norm`` and ``key_norm``
    norm: Norm = field(default_factory=Norm)


class AttentionContext(NamedTuple):
    """What depends on the input alone: the mask (True attends), a bias of the logits, and the rotation of positions."""

    mask: BoolArray | None = None
    bias: Array | None = None
    rotation: Rotation | None = None


class SublayerCache(NamedTuple):
    """Caches of the projections, the norms and the operator; the weights if they were requested."""

    projections: dict[str, LinearCache]
    norms: dict[str, NormCache]
    rotation: Rotation | None
    attention: AttentionCache
    output: LinearCache
    o: Array
    weights: Array | None
    probed: bool


def attention_layer_forward(
    x: Array, params: Params, options: AttentionOptions, context: AttentionContext, *, return_weights: bool = False
) -> tuple[Array, SublayerCache]:
    """Self-attention of every token of x (B, N, D), with its weights in the cache if they are requested.

    Params are the projections ``query``, ``key``, ``value`` and ``output``; optionally ``query_norm`` and ``key_norm``
    over the features of a head (d,) or of all heads (H d,), ``sinks`` (H,), and ``probe`` (D,), from which the only
    query is made instead of one from each token.
    """
    probe = params.get("probe")
    queries = x if probe is None else np.broadcast_to(probe, (len(x), 1, x.shape[2]))
    projections: dict[str, LinearCache] = {}
    norms: dict[str, NormCache] = {}
    arrays = {}
    for name, heads in (("query", options.heads), ("key", options.key_heads), ("value", options.key_heads)):
        source = queries if name == "query" else x
        projected, projections[name] = linear_forward(source, subtree(params, name))
        array = projected.reshape(*source.shape[:2], heads, -1)
        if gain := subtree(params, f"{name}_norm"):
            array, norms[name] = _normalize(array, gain, options.norm)
        arrays[name] = array.swapaxes(1, 2)  # (B, N, H, d) -> (B, H, N, d)
    if context.rotation is not None:
        for name in ("query", "key"):
            arrays[name] = rotary_forward(arrays[name], context.rotation)
    result, cache = attention_forward(
        arrays["query"],
        arrays["key"],
        arrays["value"],
        mask=context.mask,
        bias=context.bias,
        causal=options.causal,
        window=options.window,
        scale=options.scale,
        softcap=options.softcap,
        sinks=params.get("sinks"),
        return_weights=return_weights,
    )
    o, weights = result if return_weights else (result, None)
    y, output = linear_forward(_join(o), subtree(params, "output"))
    return y, SublayerCache(projections, norms, context.rotation, cache, output, o, weights, probe is not None)


def attention_layer_backward(dy: Array, cache: SublayerCache) -> tuple[Array, Params, Array]:
    """Gradients with respect to x (B, N, D) and the parameters; and to o (B, H, N, e), the operator's output."""
    djoined, output_grads = linear_backward_parallel(dy, cache.output)
    b, heads, n, _ = cache.o.shape
    do = djoined.reshape(b, n, heads, -1).swapaxes(1, 2)
    dq, dk, dv, *others = attention_backward(do, cache.attention)
    gradients = {"query": dq, "key": dk, "value": dv}
    if cache.rotation is not None:
        for name in ("query", "key"):
            gradients[name] = rotary_backward(gradients[name], cache.rotation)
    grads = with_prefix("output", output_grads)
    if cache.attention.sinks is not None:
        grads["sinks"] = others[-1]
    dx: Array | None = None
    for name, gradient in gradients.items():
        tokens_first = gradient.swapaxes(1, 2)  # (B, H, N, d) -> (B, N, H, d)
        if name in cache.norms:
            tokens_first = collect(grads, f"{name}_norm", _normalize_backward(tokens_first, cache.norms[name]))
        joined = tokens_first.reshape(*tokens_first.shape[:2], -1)
        dpart = collect(grads, name, linear_backward_parallel(joined, cache.projections[name]))
        if name == "query" and cache.probed:
            grads["probe"] = dpart.sum(axis=(0, 1))
        else:
            dx = dpart if dx is None else dx + dpart
    assert dx is not None  # keys and values read x
    return dx, grads, do


def weights_gradient(do: Array, cache: SublayerCache) -> Array:
    """Gradient with respect to the attention weights (B, H, N, M), each moving by itself: dp = do vᵀ."""
    v = cache.attention.inputs.v
    return np.asarray(do @ np.repeat(v, do.shape[1] // v.shape[1], axis=1).mT)


def _normalize(array: Array, gain: Params, norm: Norm) -> tuple[Array, Any]:
    """Over the features of each head, or of all heads together, as the size of the gain says; array is (B, N, H, d)."""
    together = gain["gain"].size != array.shape[-1]
    rows = array.reshape(*array.shape[:2], -1) if together else array
    y, cache = norm_forward(rows, gain, norm)
    return y.reshape(array.shape), cache


def _normalize_backward(dy: Array, cache: NormCache) -> tuple[Array, Params]:
    dx, grads = norm_backward(dy.reshape(cache.shape), cache)
    return dx.reshape(dy.shape), grads


def _join(o: Array) -> Array:
    """(B, H, N, e) -> (B, N, H e): heads next to each other."""
    b, heads, n, width = o.shape
    return o.swapaxes(1, 2).reshape(b, n, heads * width)
