"""Attention sinks: one logit per head that takes part in the softmax and has no value.

A sink only adds to the denominator, so it is applied to the statistics of a forward pass, whichever engine computed it,
and the engine's backward pass then needs no change.

Source: Xiao et al., "Efficient Streaming Language Models with Attention Sinks", arXiv 2309.17453 (2023); softmax with a
learned logit per head as in OpenAI's gpt-oss (2025). A sink of 0 is E. Miller's softmax-plus-one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from headwise.attention.base import ForwardCache
from headwise.attention.inputs import as_stored_arrays
from headwise.errors import DataError, ShapeError
from headwise.shapes import Array


def validate_sinks(sinks: npt.ArrayLike, shape: tuple[int, ...]) -> Array:
    """Check sinks (..., H) against the logits' shape (..., H, N, M); −inf is no sink."""
    (array,) = as_stored_arrays(sinks=sinks)
    expected = shape[:-2]
    if not array.ndim or array.shape[-1] != expected[-1] or array.ndim > len(expected):
        raise ShapeError(f"sinks: expected one logit per head, (H,) = ({expected[-1]},); got {array.shape}.")
    if any(size not in (1, full) for size, full in zip(array.shape[::-1], expected[::-1], strict=False)):
        raise ShapeError(f"sinks: expected a shape that broadcasts to (..., H) = {expected}; got {array.shape}.")
    if np.isnan(array).any() or np.isposinf(array).any():
        raise DataError("sinks: expected finite numbers, or −inf for no sink; got NaN or +inf.")
    return array


def add_sinks(cache: ForwardCache, p: Array | None, sinks: Array) -> tuple[Array | None, ForwardCache, Array]:
    """Let sinks take part in the softmax of a finished forward pass.

    `p` (..., H, N, M): the weights without sinks.
    Returns the weights with sinks (..., H, N, M), the cache of the output with sinks, and the weight that each query
    gives to the sink (..., H, N, 1): 1 for a query that may attend to no key.
    """
    dtype = cache.shift.dtype
    largest = float(np.finfo(dtype).max)
    logit = np.where(np.isneginf(sinks), sinks, np.clip(sinks.astype(np.float64), -largest, largest))[..., None, None]
    shift = cache.shift.astype(np.float64) * cache.unit
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        distance = logit - shift
        # whether the sink is the larger logit, or the only one, of a query without a key
        leads = (distance > 0) | ((cache.total == 0) & (logit > -np.inf))
        above = np.where(leads, distance, 0)
        key_total, added = cache.total * np.exp(-np.maximum(above, 0)), np.exp(np.where(leads, 0, distance))
        total = key_total + added
        share, sink_weights = (
            np.divide(part, total, out=np.zeros_like(total), where=total != 0).astype(dtype)
            for part in (key_total, added)
        )
        lse = (np.where(leads, logit, shift) + np.log(total)).astype(dtype)[..., 0]
        cache = replace(
            cache,
            o=cache.o * share,
            total=(total * np.exp(above)).astype(dtype),  # infinite where the keys have no weight
            log_sum_exp=lse,
            p=None if cache.p is None else cache.p * share,
        )
    return None if p is None else p * share, cache, sink_weights


def sinks_gradient(cache: ForwardCache, sink_weights: Array, do: Array, shape: tuple[int, ...]) -> Array:
    """Gradient with respect to sinks of this shape: −p_sink Σ do ∘ o, summed over queries and repeated axes."""
    gradient = -(sink_weights * (do * cache.o).sum(axis=-1, keepdims=True)).sum(axis=(-2, -1))
    extra = gradient.ndim - len(shape)
    repeated = tuple(range(extra)) + tuple(
        extra + axis for axis, size in enumerate(shape) if size != gradient.shape[extra + axis]
    )
    return np.asarray(gradient.sum(axis=repeated, keepdims=True)).reshape(shape)
