"""The compiled engine: attention in loops compiled by numba, for a thousand small problems as for one long sequence.

This file lays out a problem for `kernels` and shares the units among the workers; numba is imported on first use.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np

from headwise.attention.blockwise import ForwardCache
from headwise.attention.inputs import AttentionInputs, check_overflow, mask_nonfinite
from headwise.attention.tiles import backward_schedule
from headwise.jit import compile_kernel
from headwise.parallel.threads import num_threads, parallel_for
from headwise.shapes import Array, IntArray

__all__ = ["COLUMNS", "ROWS", "backward", "forward"]

_KERNELS = "headwise.attention.compiled.kernels"
ROWS, COLUMNS = 64, 128  # a tile of logits fills most of the first-level cache, or all of it
_WORTH_A_TASK = 1e6  # multiplications; a task costs some microseconds to hand over


def forward(problem: AttentionInputs, weights: bool = False) -> tuple[Array, Array | None, ForwardCache]:
    """Return o (..., H, N, e), weights (..., H, N, M) if asked, and what backward needs."""
    o, shift, total, p, suspect = _forward(problem, weights)
    if suspect:
        cleaned = mask_nonfinite(problem)
        if cleaned is not problem:
            problem = cleaned
            o, shift, total, p, _ = _forward(problem, weights)
        check_overflow(shift, total)
    whole = problem.shape[:-1]
    saved = ForwardCache(problem, o.reshape(*whole, o.shape[-1]), shift.reshape(*whole, 1), total.reshape(*whole, 1))
    return saved.o, p.reshape(problem.shape) if weights else None, saved


def backward(saved: ForwardCache, do: Array) -> tuple[Array, Array, Array, Array | None]:
    """Return dq, dk, dv, and dbias if there is a bias, each of the shape of its array."""
    problem, o, shift, total = saved
    *lead, heads, n, m = problem.shape
    d, e = problem.q.shape[-1], problem.v.shape[-1]
    items = math.prod(lead)
    real = problem.q.dtype
    whole = 64 // real.itemsize  # rows of dk and dv are filled up to whole vectors
    dk, dv = (np.zeros((items, problem.groups, m, -(-x // whole) * whole), real) for x in (d, e))
    starts, units = backward_schedule(problem)
    dq = np.zeros((units[:, 4].max(initial=0) + 1, items, heads, n, d), real)
    dbias = np.zeros((0, 0, 0, 0) if problem.bias is None else problem.bias.shape, real)
    compute = compile_kernel(_KERNELS, "backward", real)
    given = (
        *(starts, units, *_four(problem.q, problem.k, problem.v), _rule(problem)),
        *(*_four(do, o), shift.reshape(items, heads, n), total.reshape(items, heads, n)),
        *(dq, dk, dv, dbias.reshape(math.prod(dbias.shape[:-3]), *dbias.shape[-3:])),
    )
    _share(lambda first, last: compute(first, last, *given), len(starts) - 1, items * heads * n * m * (3 * d + 2 * e))
    for other in dq[1:]:
        dq[0] += other
    grads = dq[0].reshape(problem.q.shape), dk[..., :d].reshape(problem.k.shape), dv[..., :e].reshape(problem.v.shape)
    return *grads, None if problem.bias is None else dbias


def _forward(problem: AttentionInputs, weights: bool) -> tuple[Array, Array, Array, Array, bool]:
    *lead, heads, n, m = problem.shape
    items, e, real = math.prod(lead), problem.v.shape[-1], problem.q.dtype
    o = np.empty((items, heads, n, e), real)
    shift, total = (np.empty((items, heads, n), real) for _ in range(2))
    p = np.zeros((items, heads, n, m) if weights else (0, 0, 0, 0), real)
    compute = compile_kernel(_KERNELS, "forward", real)
    given = (*_four(problem.q, problem.k, problem.v), _rule(problem), o, shift, total, p)
    units = items * heads * -(-n // ROWS)
    found = _share(
        lambda first, last: compute(first, last, *given), units, items * heads * n * m * (problem.q.shape[-1] + e)
    )
    return o, shift, total, p, any(found)


def _share(task: Callable[[int, int], Any], units: int, work: float) -> list[Any]:
    """Cut the units into as many ranges as their work is worth, and return what ``task(first, last)`` gave for each."""
    most = 8 * num_threads() if num_threads() > 1 else 1
    count = max(1, min(units, most, int(work / _WORTH_A_TASK)))
    if count == 1:
        return [task(0, units)]
    bounds = [units * i // count for i in range(count + 1)]
    results: list[Any] = [None] * count

    def one(i: int) -> None:
        results[i] = task(bounds[i], bounds[i + 1])

    parallel_for(one, count)
    return results


def _four(*arrays: Array) -> tuple[Array, ...]:
    """(..., H, N, x) as (L, H, N, x), without a copy where the leading axes allow."""
    return tuple(
        a
        if a.ndim == 4 and a.flags.aligned
        else np.require(a.reshape(math.prod(a.shape[:-3]), *a.shape[-3:]), None, "A")
        for a in arrays
    )


def _rule(problem: AttentionInputs) -> tuple[Any, ...]:
    """What hides or moves logits, as `kernels` wants it."""
    seen = problem.visible
    lead, m = problem.shape[:-3], problem.shape[-1]
    items = math.prod(lead)
    lengths = _same(items, m) if seen.lengths is None else seen.lengths.reshape(items).astype(np.intp)
    return (
        *_whole(seen.mask, lead, np.dtype(np.bool_)),
        *_whole(problem.bias, lead, problem.q.dtype),
        *(
            lengths,
            seen.offset.reshape(items),
            -1 if seen.left is None else seen.left,
            -1 if seen.right is None else seen.right,
        ),
        *(problem.scale, problem.softcap or 0.0),
    )


def _whole(array: Any, lead: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """A mask or bias with its leading axes as one, and which of its items each item of the problem reads."""
    if array is None:
        return _nothing(dtype), _same(math.prod(lead), 0)
    own = array.shape[:-3]
    reads = np.arange(math.prod(own), dtype=np.intp).reshape(own)
    return _four(array)[0], np.broadcast_to(reads, lead).flatten()


@cache
def _nothing(dtype: np.dtype[Any]) -> Any:
    return np.empty((0, 0, 0, 0), dtype)


@lru_cache(maxsize=64)
def _same(count: int, value: int) -> IntArray:
    return np.full(count, value, np.intp)
