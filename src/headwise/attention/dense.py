"""The dense engine: the definition, weights in full. Every other engine is tested against it.

Letters in the comments: ... leading axes, H heads, G key heads, N queries, M keys, d and e widths of a key and a value.
"""

from __future__ import annotations

import numpy as np

from headwise.attention.base import ForwardCache, Gradients
from headwise.attention.inputs import AttentionInputs, all_finite, check_overflow, mask_nonfinite, softcap_factor
from headwise.attention.masks import hide
from headwise.shapes import Array


def forward(inputs: AttentionInputs, weights: bool = False) -> tuple[Array | None, ForwardCache]:
    """Return the weights (..., H, N, M) if requested, and a cache with the output."""
    inputs = mask_nonfinite(inputs.widened())
    s, tanh = logits(inputs)
    top = s.max(axis=-1, keepdims=True, initial=-np.inf)  # (..., H, N, 1)
    shift = np.where(np.isneginf(top), 0, top)  # a row that may attend to nothing: exp(−inf − 0) = 0, not NaN
    with np.errstate(invalid="ignore", over="ignore"):
        p = np.exp(s - shift)
    total = p.sum(axis=-1, keepdims=True)
    check_overflow(inputs, top, total)
    p /= np.where(total == 0, 1, total)
    with np.errstate(invalid="ignore", over="ignore"):  # a sum that is not finite is repeated with scaled values
        o = _ungroup(_group(p, inputs) @ inputs.v, inputs)
    return p if weights else None, ForwardCache(inputs, o, shift, total, all_finite(o), p=p, tanh=tanh)


def backward(cache: ForwardCache, do: Array) -> Gradients:
    """Return the gradients, with dbias if there is a bias."""
    inputs, p = cache.inputs, cache.p
    assert p is not None
    q, k, v = _group(inputs.q, inputs), inputs.k, inputs.v
    do_g = _group(do, inputs)
    dv = _group(p, inputs).mT @ do_g  # o = p v
    dp = _ungroup(do_g @ v.mT, inputs)
    # p = softmax(s):  ds = p ∘ (dp − Σ_m p dp), and Σ_m p dp = do · o
    ds = p * (dp - (do * cache.o).sum(axis=-1, keepdims=True))
    dbias = None if inputs.bias is None else _sum_to(ds, inputs.bias.shape)
    if cache.tanh is not None:
        ds = ds * (1 - cache.tanh**2)  # s = c tanh(t / c):  dt = ds (1 − tanh²)
    ds_g = _group(ds, inputs)
    dq = _ungroup(ds_g @ k * inputs.scale, inputs)  # t = scale q kᵀ
    dk = ds_g.mT @ q * inputs.scale
    return Gradients(dq, dk, dv, dbias, all_finite(dq, dk, dv))


def logits(inputs: AttentionInputs) -> tuple[Array, Array | None]:
    """Return the logits (..., H, N, M), −inf where hidden, and the tanh of the softcap if there is one."""
    with np.errstate(over="ignore", invalid="ignore"):  # forward reports an overflow by name
        s = _ungroup(_group(inputs.q, inputs) @ inputs.k.mT, inputs)
        tanh = None
        if inputs.softcap is None:
            s = s * inputs.scale
        else:
            factor = softcap_factor(inputs)
            tanh = np.tanh(s * factor * factor) * float(np.sign(inputs.scale))
            s = inputs.softcap * tanh
        if inputs.bias is not None:
            s = s + inputs.bias
    allowed = inputs.mask.full()
    if allowed is not None:
        hide(s, allowed)
    return s, tanh


def _sum_to(a: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: sum over the axes along which `shape` was repeated."""
    repeated = tuple(axis for axis, size in enumerate(shape) if size != a.shape[axis])
    return np.asarray(a.sum(axis=repeated, keepdims=True))


def _group(a: Array, inputs: AttentionInputs) -> Array:
    """(..., H, N, x) -> (..., G, R·N, x): the R query heads that read one key head become rows of one product."""
    *lead, heads, n, x = a.shape
    return a.reshape(*lead, inputs.groups, heads // inputs.groups * n, x)


def _ungroup(a: Array, inputs: AttentionInputs) -> Array:
    """(..., G, R·N, x) -> (..., H, N, x)."""
    *lead, heads, n, _ = inputs.shape
    return a.reshape(*lead, heads, n, a.shape[-1])
