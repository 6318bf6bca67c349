"""How an attention problem is cut into units of work and tiles. It depends on the problem alone, never on the threads.

Forward, a unit is a block of queries of one head: it owns its rows of the output. Backward, a unit is a chunk of the
keys of one key head, with all the queries that read it: it owns its rows of dk and dv, and holds a partial dq, which
are added up in a fixed order. Units that would add to the same entries of dbias form one sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from headwise.attention.problem import Problem
from headwise.shapes import Array

__all__ = ["Chunk", "add_to_bias_gradient", "blocks", "chunks", "key_blocks", "sequences"]

_PARTIALS = 32 * 2**20  # bytes that the partial dq may take
_CHUNKS = 8
_SMALLEST_CHUNK = 1024


class Chunk(NamedTuple):
    """A unit of the backward pass: the item's index, a key head, and a range of its keys, numbered."""

    item: tuple[int, ...]
    group: int
    number: int
    keys: slice


def blocks(start: int, stop: int, size: int) -> Iterator[slice]:
    """Cut start … stop into slices of at most `size`."""
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))


def key_blocks(problem: Problem, item: tuple[int, ...], rows: slice, keys: slice, size: int) -> Iterator[slice]:
    """Blocks of the keys that any of the queries may see, but for the mask."""
    first, last = problem.visible.span(item, rows)
    start, stop = int(first.min(initial=keys.stop)), int(last.max(initial=0))
    yield from blocks(max(start // size * size, keys.start), min(stop, keys.stop), size)


def chunks(problem: Problem) -> list[slice]:
    """Cut the keys where there are too few key heads to go round, as far as the partial dq fit in memory."""
    *lead, heads, n, m = problem.shape
    pairs = int(np.prod(lead)) * problem.groups
    partial = max(int(np.prod(lead)) * heads * n * problem.q.shape[-1] * problem.q.itemsize, 1)
    count = max(1, min(_CHUNKS // max(pairs, 1), 1 + _PARTIALS // partial, m // _SMALLEST_CHUNK))
    size = -(-m // count)
    return list(blocks(0, m, max(size, 1)))


def sequences(problem: Problem) -> list[list[Chunk]]:
    """All chunks, in sequences that share no entry of dk, dv or dbias; a sequence is computed in its order."""
    *lead, _, _, m = problem.shape
    shared: tuple[int, ...] = ()
    cut = chunks(problem)
    if problem.bias is not None:
        shared = (1,) * (len(problem.shape) - problem.bias.ndim) + problem.bias.shape
        if shared[-1] == 1 != m:
            cut = [slice(0, m)]
    found: dict[tuple[int, ...], list[Chunk]] = {}
    for item in np.ndindex(*lead):
        for group in range(problem.groups):
            for number, keys in enumerate(cut):
                owner: tuple[int, ...] = (*item, group, number)
                if shared:
                    owner = tuple(i if size > 1 else 0 for i, size in zip((*item, group), shared, strict=False))
                    owner = (*owner, number)
                found.setdefault(owner, []).append(Chunk(item, group, number, keys))
    return list(found.values())


def add_to_bias_gradient(dbias: Array, index: tuple[int, ...], rows: slice, keys: slice, ds: Array) -> None:
    """Add one tile's gradient to that of a bias of shape (..., H, N, M), any axis of which may be 1."""
    at = tuple(i if size > 1 else 0 for i, size in zip(index, dbias.shape, strict=False))
    summed = tuple(axis for axis in (0, 1) if dbias.shape[axis - 2] == 1)
    target = dbias[at]
    target[rows if target.shape[0] > 1 else slice(None), keys if target.shape[1] > 1 else slice(None)] += ds.sum(
        axis=summed, keepdims=True
    )
