"""The blockwise engine: tiles and a running log-sum-exp, in NumPy alone. Memory is linear in the number of tokens.

Where no logit can be so large that an exponential overflows or vanishes, nothing is subtracted, else the running
maximum.

Letters in the comments: g key heads of a block, r its queries of all heads that read one of them, one head after
another; c keys of a tile, d and e widths of a key and a value.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.attention.base import ForwardCache, Gradients
from headwise.attention.fold import fold_batch
from headwise.attention.inputs import AttentionInputs, all_finite, check_overflow, mask_nonfinite, softcap_factor
from headwise.attention.masks import hide, mask_tile
from headwise.attention.tiles import backward_schedule, split_range
from headwise.parallel.threads import parallel_for, single_threaded_blas
from headwise.shapes import Array

# A tile of float32 takes two megabytes: each operation on it, and each wait for Python's lock, is one call. Half as
# many rows where a causal mask or a window leaves more of it hidden.
ROWS, COLUMNS = 1024, 512
_UNITS = 8  # at least, where there are as many key heads, so that cores have something to share
MAX_SAFE_LOGIT = 40.0  # exp(±40) and sums of millions of it are ordinary numbers in float32


def forward(inputs: AttentionInputs, weights: bool = False) -> tuple[Array | None, ForwardCache]:
    """Return the weights (..., H, N, M) if requested, and a cache with the output."""
    original = mask_nonfinite(inputs.widened())
    inputs = _folded(original)
    o = np.empty((*inputs.shape[:-1], inputs.v.shape[-1]), inputs.q.dtype)
    shift, total = (np.empty((*inputs.shape[:-1], 1), inputs.q.dtype) for _ in range(2))
    p = np.zeros(inputs.shape, inputs.q.dtype) if weights else None
    bounded, blocks = _bounded(inputs), _blocks(inputs)
    memory = _memory(inputs, 1)

    def attend(i: int) -> None:
        block = blocks[i]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported by name, or repeated
            results = _attend(block, bool(block.of(bounded).all()), memory)
            for array, result in zip((o, shift, total), results, strict=True):
                block.of(array)[..., block.rows, :] = result.reshape(block.shape(result.shape[-1]))
            if p is not None:
                _write_weights(block, *results[1:], block.of(p), memory)

    with single_threaded_blas():
        parallel_for(attend, len(blocks))
    check_overflow(inputs, shift, total)
    o, shift, total = (a.reshape(*original.shape[:-1], a.shape[-1]) for a in (o, shift, total))
    return None if p is None else p.reshape(original.shape), ForwardCache(original, o, shift, total, all_finite(o))


def backward(cache: ForwardCache, do: Array) -> Gradients:
    """Return the gradients, with dbias if there is a bias."""
    original, inputs = cache.inputs, _folded(cache.inputs)
    o, shift, total, do = (a.reshape(*inputs.shape[:-1], a.shape[-1]) for a in (cache.o, cache.shift, cache.total, do))
    cache = replace(cache, inputs=inputs, o=o, shift=shift, total=total)
    delta = np.einsum("...e,...e->...", do, o)[..., None]
    starts, units = backward_schedule(inputs)
    partial = [np.zeros(inputs.q.shape, do.dtype) for _ in range(units[:, 4].max(initial=0) + 1)]
    dk, dv = np.zeros(inputs.k.shape, do.dtype), np.zeros(inputs.v.shape, do.dtype)
    dbias = None if inputs.bias is None else np.zeros(inputs.bias.shape, do.dtype)
    items, at_once = list(np.ndindex(*inputs.shape[:-3])), _groups_at_once(inputs)
    memory = _memory(inputs, 2)
    if inputs.bias is None:  # then every sequence is one unit, and several can be one
        starts = np.append(starts[:-1:at_once], starts[-1])

    def accumulate(i: int) -> None:
        for item, groups, keys, number in _joined(units[starts[i] : starts[i + 1]].tolist(), at_once):
            for rows in split_range(0, inputs.shape[-2], _rows(inputs)):
                block = _Block(inputs, items[item], groups, rows)
                with np.errstate(over="ignore", invalid="ignore"):  # of `do` that is not finite
                    grads = (partial[number], dk, dv, dbias)
                    _accumulate_gradients(cache, block, keys, do, delta, grads, memory)

    with single_threaded_blas():
        parallel_for(accumulate, len(starts) - 1)
    dq = partial[0]
    for other in partial[1:]:
        dq += other
    dq *= inputs.scale
    dk *= inputs.scale
    finite = all_finite(dq, dk, dv)
    dq, dk, dv = (d.reshape(a.shape) for d, a in zip((dq, dk, dv), (original.q, original.k, original.v), strict=True))
    if dbias is not None and original.bias is not None:
        dbias = dbias.reshape(original.bias.shape)
    return Gradients(dq, dk, dv, dbias, finite)


def _folded(inputs: AttentionInputs) -> AttentionInputs:
    """Items of which a tile holds several as heads of one item, if their masks and biases allow it."""
    small = inputs.q.size > 0 and 2 * inputs.groups * _tile_size(inputs) <= ROWS * COLUMNS
    return (fold_batch(inputs) if small else None) or inputs


@dataclass(slots=True)
class _Block:
    """Some queries of one item, in all the heads that read some of its key heads."""

    inputs: AttentionInputs
    item: tuple[int, ...]
    groups: slice
    rows: slice
    heads: slice = field(init=False)  # the query heads

    def __post_init__(self) -> None:
        repeat = _repeat(self.inputs)
        self.heads = slice(self.groups.start * repeat, self.groups.stop * repeat)

    def shape(self, width: int) -> tuple[int, ...]:
        """(query heads, queries of each, width)."""
        return self.heads.stop - self.heads.start, self.rows.stop - self.rows.start, width

    def of(self, a: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View the query heads in an array (..., H, ·, ·)."""
        own: npt.NDArray[Any] = a[self.item][self.heads]
        return own

    def queries(self, a: Array) -> Array:
        """(..., H, N, x) -> (g, r, x)."""
        return self.of(a)[:, self.rows].reshape(self.groups.stop - self.groups.start, -1, a.shape[-1])

    def keys(self, a: Array) -> Array:
        """(..., G, M, x) -> (g, M, x), a view."""
        own: Array = a[self.item][self.groups]
        return own

    def scaled_queries(self) -> Array:
        """The queries times `scale`, or times its sign where they could overflow or a softcap applies the rest."""
        scale, softcap = self.inputs.scale, self.inputs.softcap
        factor = scale if softcap is None and abs(scale) <= 1 else np.sign(scale)
        return np.asarray(self.queries(self.inputs.q) * self.inputs.q.dtype.type(factor))

    def tiles(self, keys: slice) -> Iterator[slice]:
        """The tiles of these keys of which any query may see one."""
        mask = self.inputs.mask
        start, stop = mask.key_range(self.item, self.rows.start)[0], mask.key_range(self.item, self.rows.stop - 1)[1]
        for tile in split_range(max(start, keys.start), min(stop, keys.stop), COLUMNS):
            if mask.array is None or self.tile(mask.array, tile).any():
                yield tile

    def tile(self, array: npt.NDArray[Any], keys: slice) -> npt.NDArray[Any]:
        """View a tile of a mask or bias, broadcastable to (query heads, queries of each, c)."""
        return mask_tile(array, self.item, self.heads, self.rows, keys)


class _Memory(threading.local):
    """Memory of each thread, so that it is not requested from the system again for each tile."""

    def __init__(self, sizes: list[int], dtype: np.dtype[Any]) -> None:
        self.arrays = [np.empty(size, dtype) for size in sizes]

    def array(self, number: int, *shape: int) -> Array:
        """One of the arrays, in this shape."""
        return self.arrays[number][: math.prod(shape)].reshape(shape)

    def product(self, a: Array, b: Array) -> Array:
        """The product of two stacks of matrices, in the last of the arrays."""
        return np.matmul(a, b, out=self.array(-1, len(a), a.shape[1], b.shape[2]))


def _memory(inputs: AttentionInputs, tiles: int) -> _Memory:
    """Memory for so many tiles, and for the product of one with queries, keys or values."""
    at_once, width = _groups_at_once(inputs), max(inputs.q.shape[-1], inputs.v.shape[-1])
    rows = max(_repeat(inputs) * min(_rows(inputs), inputs.shape[-2]), min(COLUMNS, inputs.shape[-1]))
    return _Memory([at_once * _tile_size(inputs)] * tiles + [at_once * rows * width], inputs.q.dtype)


def _blocks(inputs: AttentionInputs) -> list[_Block]:
    """Blocks of all queries of all heads."""
    *lead, _, n, _ = inputs.shape
    return [
        _Block(inputs, item, groups, rows)
        for item in np.ndindex(*lead)
        for groups in split_range(0, inputs.groups, _groups_at_once(inputs))
        for rows in split_range(0, n, _rows(inputs))
    ]


def _attend(block: _Block, bounded: bool, memory: _Memory) -> tuple[Array, Array, Array]:
    """Output (g, r, e), shift (g, r, 1) and total (g, r, 1) of a block."""
    inputs, q = block.inputs, block.scaled_queries()
    k, v = block.keys(inputs.k), block.keys(inputs.v)
    o, total = np.zeros((*q.shape[:2], v.shape[-1]), q.dtype), np.zeros((*q.shape[:2], 1), q.dtype)
    top = np.full_like(total, 0 if bounded else -np.inf)
    ones = np.ones((COLUMNS, 1), q.dtype)
    for keys in block.tiles(slice(0, k.shape[-2])):
        u, _ = _logits(block, keys, q, k[:, keys], memory)
        if not bounded:
            higher = np.maximum(top, u.max(axis=-1, keepdims=True))
            shrink = np.exp(top - _or_zero(higher))  # of what was summed under the old maximum
            o *= shrink
            total *= shrink
            top = higher
            u -= _or_zero(top)
        np.exp(u, out=u)
        total += u @ ones[: u.shape[-1]]  # (g, r, c) @ (c, 1) is faster than a sum
        o += memory.product(u, v[:, keys])
    return o * _reciprocal(total), _or_zero(top), total


def _write_weights(block: _Block, shift: Array, total: Array, p: Array, memory: _Memory) -> None:
    """Write the attention weights of a block into p (query heads, N, M)."""
    inputs, q, inverse = block.inputs, block.scaled_queries(), _reciprocal(total)
    k = block.keys(inputs.k)
    for keys in block.tiles(slice(0, k.shape[-2])):
        u, _ = _logits(block, keys, q, k[:, keys], memory)
        p[:, block.rows, keys] = (np.exp(u - shift) * inverse).reshape(block.shape(u.shape[-1]))


def _joined(units: list[list[int]], at_once: int) -> Iterator[tuple[int, slice, slice, int]]:
    """Item, key heads, keys and number of the partial dq of units, of which those of adjacent heads are joined."""
    while units:
        (item, group, low, high, number), count = units[0], 1
        while count < min(at_once, len(units)) and units[count] == [item, group + count, low, high, number]:
            count += 1
        yield item, slice(group, group + count), slice(low, high), number
        units = units[count:]


def _accumulate_gradients(
    cache: ForwardCache,
    block: _Block,
    chunk: slice,
    do: Array,
    delta: Array,
    grads: tuple[Array, Array, Array, Array | None],
    memory: _Memory,
) -> None:
    """Add the gradients that pass from a block through a chunk of its keys; dq and dk still lack `scale`."""
    inputs, (dq, dk, dv, dbias) = cache.inputs, grads
    k, v, dk, dv = (block.keys(a) for a in (inputs.k, inputs.v, dk, dv))
    q, scaled, shift = block.queries(inputs.q), block.scaled_queries(), block.queries(cache.shift)
    # p = u / total, so that with do' = do / total:  dv = uᵀ do',  ds = u ∘ (do' vᵀ − Σ do' ∘ o)
    inverse = _reciprocal(block.queries(cache.total))
    do, delta, dq_r = block.queries(do) * inverse, block.queries(delta) * inverse, np.zeros_like(q)
    shifted = bool(shift.any())
    for keys in block.tiles(chunk):
        u, tanh = _logits(block, keys, scaled, k[:, keys], memory)
        if shifted:
            u -= shift
        np.exp(u, out=u)
        dv[:, keys] += memory.product(u.mT, do)  # o = p v
        ds = np.matmul(do, v[:, keys].mT, out=memory.array(1, *u.shape))
        ds -= delta  # p = softmax(s):  ds = p ∘ (dp − Σ p dp), and Σ p dp = do · o
        ds *= u
        if dbias is not None:
            _add(block.tile(dbias, keys), ds.reshape(block.shape(ds.shape[-1])))
        if tanh is not None:
            ds *= 1 - tanh**2  # s = c tanh(t / c):  dt = ds (1 − tanh²)
        dq_r += memory.product(ds, k[:, keys])  # t = scale q kᵀ
        dk[:, keys] += memory.product(ds.mT, q)
    block.of(dq)[:, block.rows] += dq_r.reshape(block.shape(dq_r.shape[-1]))


def _logits(block: _Block, keys: slice, q: Array, k: Array, memory: _Memory) -> tuple[Array, Array | None]:
    """Logits of one tile (g, r, c), −inf where hidden, in the thread's memory; and the softcap's tanh."""
    inputs = block.inputs
    s = np.matmul(q, k.mT, out=memory.array(0, *q.shape[:2], k.shape[-2]))
    tanh = None
    if inputs.softcap is None and abs(inputs.scale) > 1:
        s *= abs(inputs.scale)
    elif inputs.softcap is not None:
        factor = softcap_factor(inputs)
        s *= factor  # tanh saturates where this overflows
        s *= factor
        tanh = np.tanh(s)
        np.multiply(tanh, inputs.softcap, out=s)
    of_heads = s.reshape(block.shape(s.shape[-1]))  # a view
    if inputs.bias is not None:
        of_heads += block.tile(inputs.bias, keys)
    allowed = inputs.mask.tile(block.item, block.heads, block.rows, keys)
    if allowed is not None:
        hide(of_heads, allowed)
    return s, tanh


def _rows(inputs: AttentionInputs) -> int:
    """Queries of a block in each head."""
    rows = ROWS if inputs.mask.left is None and inputs.mask.right is None else ROWS // 2
    return max(rows // _repeat(inputs), 1)


def _groups_at_once(inputs: AttentionInputs) -> int:
    """Key heads of a block: several where their logits take no more than a tile."""
    *lead, _, _, _ = inputs.shape
    fitting = ROWS * COLUMNS // max(_tile_size(inputs), 1)
    return max(1, min(fitting, math.prod(lead) * inputs.groups // _UNITS))


def _tile_size(inputs: AttentionInputs) -> int:
    """Logits of the largest tile of one key head."""
    *_, n, m = inputs.shape
    return _repeat(inputs) * min(_rows(inputs), n) * min(COLUMNS, m)


def _repeat(inputs: AttentionInputs) -> int:
    """Query heads that read one key head."""
    return inputs.shape[-3] // max(inputs.groups, 1)


def _bounded(inputs: AttentionInputs) -> npt.NDArray[np.bool_]:
    """Whether no logit of a head can exceed `MAX_SAFE_LOGIT` in size (..., H, 1, 1): |q · k| ≤ ‖q‖ ‖k‖."""
    if inputs.bias is not None and 4 * inputs.bias.size > math.prod(inputs.shape):
        # its own maximum would take longer than those of the tiles
        return np.zeros((*inputs.shape[:-2], 1, 1), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        longest = [np.sqrt(np.einsum("...d,...d->...", a, a).max(axis=-1, initial=0)) for a in (inputs.q, inputs.k)]
        bound = longest[0] * np.repeat(longest[1], _repeat(inputs), axis=-1) * abs(inputs.scale)
        if inputs.bias is not None and inputs.bias.size:
            bias = inputs.bias
            bound = bound + np.maximum(bias.max(axis=(-2, -1)), -bias.min(axis=(-2, -1)))
    return np.asarray(bound <= MAX_SAFE_LOGIT)[..., None, None]


def _add(target: Array, gradient: Array) -> None:
    """Add a gradient to an array along whose axes of size 1 it was repeated."""
    repeated = tuple(axis for axis, size in enumerate(target.shape) if size == 1)
    target += gradient.sum(axis=repeated, keepdims=True) if repeated else gradient


def _or_zero(top: Array) -> Array:
    """The maximum, or 0 for a row without any key: exp(−inf − 0) is 0, not NaN."""
    return np.where(np.isneginf(top), top.dtype.type(0), top)


def _reciprocal(total: Array) -> Array:
    return np.divide(1, total, out=np.zeros_like(total), where=total != 0)
