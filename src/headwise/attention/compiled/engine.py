"""The compiled engine: attention in loops compiled by numba, for a thousand small problems as for one long sequence.

This file prepares the arguments of `kernels` and shares the work among threads; numba is imported on first use.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any

import numpy as np

from headwise.attention.base import ForwardCache, Gradients
from headwise.attention.compiled.team import COARSE, NONFINITE, share, shared_kernel
from headwise.attention.inputs import AttentionInputs, all_finite, check_overflow, mask_nonfinite, softcap_factor
from headwise.attention.tiles import backward_schedule
from headwise.shapes import Array, IntArray

_KERNELS, _DECODE = "headwise.attention.compiled.kernels", "headwise.attention.compiled.decode"
ROWS, _COLUMNS = 64, (60, 240)  # queries of a tile, a bit of a word each; fewest and most keys of one
# Few queries that read many keys: so many units of work, each a split of the keys with at least and at most so many.
_UNITS, SPLIT_KEYS = 16, (256, 2048)
_FEW_QUERIES, _MANY_KEYS = 8, 64  # more queries fill enough of a vector to be worth a tile


def forward(inputs: AttentionInputs, weights: bool = False) -> tuple[Array | None, ForwardCache]:
    """Return the weights (..., H, N, M) if requested, and a cache with the output."""
    compute = _decode if not weights and _few_queries(inputs) else _forward
    if compute is _forward or inputs.q.dtype != np.float32 or not _reads_halves():
        inputs = inputs.widened()
    p, cache, notes = compute(inputs, weights)
    if notes & COARSE:
        compute, inputs = _forward, inputs.widened()
        p, cache, notes = compute(inputs, weights)
    if notes & NONFINITE:
        inputs = inputs.widened()
        cleaned = mask_nonfinite(inputs)
        if cleaned is not inputs:
            p, cache, _ = compute(cleaned, weights)
    if notes:
        with np.errstate(over="ignore"):
            check_overflow(cache.inputs, cache.shift * cache.shift.dtype.type(cache.unit), cache.total)
    return p, cache


def backward(cache: ForwardCache, do: Array) -> Gradients:
    """Return the gradients, with dbias if there is a bias."""
    inputs = cache.inputs.widened()
    *lead, heads, n, m = inputs.shape
    d, e = inputs.q.shape[-1], inputs.v.shape[-1]
    items, dtype = math.prod(lead), inputs.q.dtype
    lanes = 64 // dtype.itemsize  # rows of dk and dv are padded to whole vectors
    dk, dv = (np.zeros((items, inputs.groups, m, -(-x // lanes) * lanes), dtype) for x in (d, e))
    starts, units = backward_schedule(inputs)
    dq = np.zeros((units[:, 4].max(initial=0) + 1, items, heads, n, d), dtype)
    dbias = np.zeros((0, 0, 0, 0) if inputs.bias is None else inputs.bias.shape, dtype)
    kernel = shared_kernel(_KERNELS, "backward", dtype)
    arguments = (
        *(_columns(dtype), starts, units, *_four_axes(inputs.q, inputs.k, inputs.v), _rule(inputs)),
        *(*_four_axes(do, cache.o), cache.shift.reshape(items, heads, n), cache.total.reshape(items, heads, n)),
        *(dq, dk, dv, dbias.reshape(math.prod(dbias.shape[:-3]), *dbias.shape[-3:])),
    )
    work = items * heads * n * m * (3 * d + 2 * e)
    suspect = share(kernel, len(starts) - 1, work, *arguments)
    for partial in dq[1:]:
        dq[0] += partial
    return Gradients(
        dq[0].reshape(inputs.q.shape),
        dk[..., :d].reshape(inputs.k.shape),
        dv[..., :e].reshape(inputs.v.shape),
        None if inputs.bias is None else dbias,
        not suspect,
    )


def _forward(inputs: AttentionInputs, weights: bool) -> tuple[Array | None, ForwardCache, int]:
    """Weights, cache, and the bits that `team` lists."""
    *lead, heads, n, m = inputs.shape
    items, e, dtype = math.prod(lead), inputs.v.shape[-1], inputs.q.dtype
    o = np.empty((items, heads, n, e), dtype)
    shift, total = (np.empty((items, heads, n), dtype) for _ in range(2))
    p = np.zeros((items, heads, n, m) if weights else (0, 0, 0, 0), dtype)
    kernel = shared_kernel(_KERNELS, "forward", dtype)
    arguments = (_columns(dtype), *_four_axes(inputs.q, inputs.k, inputs.v), _rule(inputs), o, shift, total, p)
    units, work = items * heads * -(-n // ROWS), items * heads * n * m * (inputs.q.shape[-1] + e)
    notes = share(kernel, units, work, *arguments)
    rows = inputs.shape[:-1]
    statistics = o.reshape(*rows, e), shift.reshape(*rows, 1), total.reshape(*rows, 1)
    finite = not notes & NONFINITE or all_finite(o)
    cache = ForwardCache(inputs, *statistics, finite, _natural_unit(inputs))
    return p.reshape(inputs.shape) if weights else None, cache, notes


def _few_queries(inputs: AttentionInputs) -> bool:
    """Whether to read the keys once for all queries, instead of tiles that such queries would fill in small part."""
    (heads, n, m), k, v = inputs.shape[-3:], inputs.k, inputs.v
    if not 0 < n <= _FEW_QUERIES or m < _MANY_KEYS or heads // inputs.groups * n > ROWS:
        return False
    contiguous = all(a.strides[-1] == a.itemsize and a.flags.aligned for a in (k, v))
    return contiguous and min(k.shape[-1], v.shape[-1]) >= 64 // inputs.q.itemsize


def _decode(inputs: AttentionInputs, weights: bool) -> tuple[Array | None, ForwardCache, int]:
    """As `_forward`, for few queries: splits of the keys, merged by their sums of exponentials."""
    *lead, heads, n, _ = inputs.shape
    items, e, dtype = math.prod(lead), inputs.v.shape[-1], inputs.q.dtype
    k, v = (_as_stored(a) for a in (inputs.k, inputs.v))
    begin, end = _visible_keys(inputs)
    pairs = items * inputs.groups
    splits, split_keys = _splits(pairs, end - begin)
    parts, ended = np.empty((splits, items, heads, n, e + 2), dtype), np.zeros(pairs, np.intp)
    o, statistics = np.empty((items, heads, n, e), dtype), np.empty((2, items * heads * n), dtype)
    kernel = shared_kernel(_DECODE, "decode", dtype, k.dtype)
    cut = begin, end, split_keys
    arguments = (*_four_axes(inputs.q, k, v), _rule(inputs, pack=False), *cut, ended, parts, o, statistics)
    reads = pairs * (end - begin) * (k.shape[-1] + e)
    work = reads * (k.itemsize / 4 + heads // inputs.groups * n) / 2  # reading a number takes as long as using it
    notes = share(kernel, pairs * splits, work, *arguments)
    rows = inputs.shape[:-1]
    finite = not notes & NONFINITE or all_finite(o)
    shift, total = statistics.reshape(2, *rows, 1)
    return None, ForwardCache(inputs, o.reshape(*rows, e), shift, total, finite, _natural_unit(inputs)), notes


def _visible_keys(inputs: AttentionInputs) -> tuple[int, int]:
    """The range of keys that any query of any item may see, apart from the mask array."""
    mask, (n, m) = inputs.mask, inputs.shape[-2:]
    if mask.left is None and mask.right is None:
        return 0, m
    first, last = int(mask.offset.min(initial=m)), int(mask.offset.max(initial=0)) + n - 1
    begin = 0 if mask.left is None else min(max(first - mask.left, 0), m)
    end = m if mask.right is None else min(max(last + mask.right + 1, 0), m)
    return begin, max(begin, end)


def _splits(pairs: int, keys: int) -> tuple[int, int]:
    """Into how many splits the keys of an item's key head are cut, and how many keys a split has."""
    wanted = max(1, -(-_UNITS // max(pairs, 1)), -(-keys // SPLIT_KEYS[1]))
    size = max(SPLIT_KEYS[0], -(-keys // wanted))
    return max(1, -(-keys // size)), size


@cache
def _reads_halves() -> bool:
    """Whether the processor has an instruction that widens float16."""
    from headwise.attention.compiled.processor import PROCESSOR

    return PROCESSOR.widens_float16


def _as_stored(array: Array) -> Any:
    """Keys or values for the kernel, which takes half-precision numbers as integers of their bits."""
    return array if array.dtype.itemsize > 2 else array.view(np.uint16 if array.dtype == np.float16 else np.int16)


def _natural_unit(inputs: AttentionInputs) -> float:
    """The factor by which the kernel's tiles hold less than the logits."""
    direct = inputs.softcap is not None or inputs.bias is not None or inputs.scale == 0
    return 1.0 if direct else abs(inputs.scale)


def _four_axes(*arrays: Array) -> tuple[Array, ...]:
    """(..., H, N, x) as (L, H, N, x), without a copy where the leading axes allow."""
    return tuple(
        a
        if a.ndim == 4 and a.flags.aligned
        else np.require(a.reshape(math.prod(a.shape[:-3]), *a.shape[-3:]), None, "A")
        for a in arrays
    )


def _rule(inputs: AttentionInputs, pack: bool = True) -> tuple[Any, ...]:
    """Everything that hides or changes logits, in the order that `tile` expects; the mask packed into words or not."""
    mask = inputs.mask
    lead, m = inputs.shape[:-3], inputs.shape[-1]
    items = math.prod(lead)
    lengths = _constant(items, m) if mask.lengths is None else mask.lengths.reshape(items).astype(np.intp)
    return (
        *_by_item(
            _packed(mask.array) if pack else _as_bytes(mask.array), lead, np.dtype(np.uint64 if pack else np.uint8)
        ),
        *_by_item(inputs.bias, lead, inputs.q.dtype),
        *(lengths, mask.offset.reshape(items)),
        *(-1 if side is None else side for side in (mask.left, mask.right)),
        inputs.scale,
        *((0.0, 0.0) if inputs.softcap is None else (inputs.softcap, softcap_factor(inputs))),
    )


def _as_bytes(mask: Any) -> Any:
    return None if mask is None else mask.view(np.uint8)


def _packed(mask: Any) -> Any:
    """A mask (..., H, N, M) as words (..., H, blocks of `ROWS` queries, M), whose bits are the queries of a block."""
    if mask is None:
        return None
    *lead, heads, n, m = mask.shape
    words = np.empty((math.prod(lead), heads, -(-n // ROWS), m), np.uint64)
    kernel = shared_kernel("headwise.attention.compiled.mask_bias", "pack_mask", np.dtype(np.uint8))
    (stored,) = _four_axes(_as_bytes(mask))
    share(kernel, math.prod(words.shape[:3]), mask.size, stored, words)
    return words.reshape(*lead, *words.shape[1:])


@cache
def _columns(dtype: np.dtype[Any]) -> int:
    """Keys of a tile, whose logits then take a sixteenth of the second-level cache; six are a block of registers."""
    from headwise.attention.compiled.processor import PROCESSOR

    fitting = PROCESSOR.l2 // 16 // (ROWS * dtype.itemsize)
    return min(max(fitting, _COLUMNS[0]), _COLUMNS[1]) // 6 * 6


def _by_item(array: Any, lead: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """A mask or bias with its leading axes as one, and which of its items each item of the problem reads."""
    if array is None:
        return _empty(dtype), _constant(math.prod(lead), 0)
    items = np.arange(math.prod(array.shape[:-3]), dtype=np.intp).reshape(array.shape[:-3])
    return _four_axes(array)[0], np.broadcast_to(items, lead).flatten()


@cache
def _empty(dtype: np.dtype[Any]) -> Any:
    return np.empty((0, 0, 0, 0), dtype)


@lru_cache(maxsize=64)
def _constant(count: int, value: int) -> IntArray:
    return np.full(count, value, np.intp)
