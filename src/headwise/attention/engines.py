"""The engines by name, and the choice among them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from headwise.attention import blockwise, dense
from headwise.attention.base import Engine, ForwardCache
from headwise.attention.compiled import engine as compiled
from headwise.attention.inputs import AttentionInputs, check_overflow, scale_values
from headwise.errors import DataError
from headwise.jit import numba_available
from headwise.shapes import Array

ENGINES: dict[str, Engine] = {"dense": dense, "blockwise": blockwise, "compiled": compiled}

EngineName = Literal["auto", "dense", "blockwise", "compiled"]


def run_forward(engine: Engine, inputs: AttentionInputs, weights: bool) -> tuple[Array | None, ForwardCache]:
    """The engine's forward pass, repeated with scaled values if sums of them overflowed."""
    p, cache = engine.forward(inputs, weights)
    if cache.unit > 1:  # the engine's own numbers may be finite where the logits are not
        with np.errstate(over="ignore"):
            check_overflow(cache.inputs, abs(cache.shift * cache.shift.dtype.type(cache.unit)), cache.total)
    if cache.finite:
        return p, cache
    scaled, factor = scale_values(cache.inputs.widened())
    p, forward = engine.forward(scaled, weights)
    largest = np.finfo(forward.o.dtype).max  # which an average of values exceeds only by rounding
    with np.errstate(over="ignore"):
        return p, replace(forward, inputs=cache.inputs, o=np.clip(forward.o * factor, -largest, largest))


def choose_engine(engine: str, shape: tuple[int, ...], m: int) -> Engine:
    """The named engine, or with "auto" the fastest for queries (..., H, N, d) of this shape and M keys."""
    if engine == "auto":
        return _fastest(shape, m)
    if not isinstance(engine, str) or engine not in ENGINES:
        raise DataError(f"engine: expected one of auto, {', '.join(ENGINES)}; got {engine!r}.")
    return ENGINES[engine]


def _fastest(shape: tuple[int, ...], m: int) -> Engine:
    """The engine for queries of this shape and M keys; docs/engine.md has the measurements.

    Below a few thousand logits of small width the import of a compiler does not pay. Without one, tiles begin to pay
    where a head has more logits than 64 × 64; many smaller heads are one batch of products, as long as their weights
    fit in memory.
    """
    logits_per_head = shape[-2] * m
    logits = math.prod(shape[:-2]) * logits_per_head
    if (logits > 4096 or logits * shape[-1] > 2**17) and numba_available():
        return compiled
    return blockwise if logits_per_head > 4096 or logits > 2**26 else dense
