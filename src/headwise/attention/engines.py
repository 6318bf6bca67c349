"""The engines by name, and the choice among them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from headwise.attention import blockwise, dense
from headwise.attention.base import Engine, ForwardCache
from headwise.attention.compiled import engine as compiled
from headwise.attention.fold import fold_batch
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


def choose_engine(engine: str, inputs: AttentionInputs) -> Engine:
    """The named engine, or with "auto" the fastest for inputs of these shapes."""
    if engine == "auto":
        return _fastest(inputs)
    if not isinstance(engine, str) or engine not in ENGINES:
        raise DataError(f"engine: expected one of auto, {', '.join(ENGINES)}; got {engine!r}.")
    return ENGINES[engine]


def _fastest(inputs: AttentionInputs) -> Engine:
    """The engine for inputs of these shapes; docs/engine.md has the measurements.

    Below a few thousand logits of small width the import of a compiler does not pay.
    """
    logits = math.prod(inputs.shape)
    if (logits > 4096 or logits * inputs.q.shape[-1] > 2**17) and numba_available():
        return compiled
    return ENGINES[fastest_of_numpy(inputs)]


def fastest_of_numpy(inputs: AttentionInputs) -> Literal["dense", "blockwise"]:
    """The engine that is fastest without a compiler.

    Tiles begin to pay where a head has more logits than 64 × 64, or where the items of a batch are one stack of many
    small heads. Other small heads are one batch of products, as long as their weights fit in memory.
    """
    logits = math.prod(inputs.shape)
    if math.prod(inputs.shape[-2:]) > 4096 or logits > 2**26:
        return "blockwise"
    return "blockwise" if logits > 2**18 and fold_batch(inputs) else "dense"
