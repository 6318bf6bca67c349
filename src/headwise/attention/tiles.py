"""How an attention problem is cut into units of work and tiles. It depends on the problem alone, never on the threads.

Forward, a unit is a block of queries of one head: it owns its rows of the output. Backward, a unit is a chunk of the
keys of one key head, with all the queries that read it: it owns its rows of dk and dv, and holds a partial dq, which
are added up in a fixed order. Units that would add to the same entries of dbias form one sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from headwise.attention.inputs import AttentionInputs
from headwise.shapes import Array, IntArray

__all__ = ["accumulate_bias_gradient", "backward_schedule", "key_blocks", "split_range"]

_PARTIALS = 32 * 2**20  # bytes that the partial dq may take
_CHUNKS = 8
_SMALLEST_CHUNK = 1024


def split_range(start: int, stop: int, size: int) -> Iterator[slice]:
    """Cut start … stop into slices of at most `size`."""
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))


def key_blocks(problem: AttentionInputs, item: tuple[int, ...], rows: slice, keys: slice, size: int) -> Iterator[slice]:
    """Blocks of the keys that any of the queries may see, but for the mask."""
    first, last = problem.visible.span(item, rows)
    start, stop = int(first.min(initial=keys.stop)), int(last.max(initial=0))
    yield from split_range(max(start // size * size, keys.start), min(stop, keys.stop), size)


def backward_schedule(problem: AttentionInputs) -> tuple[IntArray, IntArray]:
    """The chunks of all keys, as rows (item, key head, first key, key past the last, number of its partial dq).

    Also where each sequence of them starts, and at last where the last one ends. A sequence shares no entry of dk, dv
    or dbias with another, and is computed in its order.
    """
    *lead, heads, n, m = problem.shape
    items, groups = math.prod(lead), problem.groups
    partial = max(items * heads * n * problem.q.shape[-1] * problem.q.itemsize, 1)
    count = max(1, min(_CHUNKS // max(items * groups, 1), 1 + _PARTIALS // partial, m // _SMALLEST_CHUNK))
    if problem.bias is None:
        return _grid(items, groups, m, count)
    *own, bias_heads, _, bias_m = problem.bias.shape
    _, units = _grid(items, groups, m, 1 if bias_m == 1 else count)
    read = np.broadcast_to(np.arange(math.prod(own)).reshape(own), lead).flatten()[units[:, 0]]
    owner = np.stack([read, units[:, 1] if bias_heads > 1 else 0 * read, units[:, 4]])
    order = np.lexsort(owner[::-1])  # stable: the units of an owner stay in their order
    changes = np.any(np.diff(owner[:, order]) != 0, axis=0)
    return np.flatnonzero(np.concatenate([[True], changes, [True]])), units[order]


@lru_cache(maxsize=64)
def _grid(items: int, groups: int, m: int, count: int) -> tuple[IntArray, IntArray]:
    """Every (item, key head) cut into `count` chunks, each a sequence of its own."""
    item, group, number = np.indices((items, groups, count)).reshape(3, -1)
    units = np.stack([item, group, m * number // count, m * (number + 1) // count, number], axis=1).astype(np.intp)
    return np.arange(len(units) + 1, dtype=np.intp), units


def accumulate_bias_gradient(dbias: Array, index: tuple[int, ...], rows: slice, keys: slice, ds: Array) -> None:
    """Add one tile's gradient to that of a bias of shape (..., H, N, M), any axis of which may be 1."""
    at = tuple(i if size > 1 else 0 for i, size in zip(index, dbias.shape, strict=False))
    summed = tuple(axis for axis in (0, 1) if dbias.shape[axis - 2] == 1)
    target = dbias[at]
    target[rows if target.shape[0] > 1 else slice(None), keys if target.shape[1] > 1 else slice(None)] += ds.sum(
        axis=summed, keepdims=True
    )
