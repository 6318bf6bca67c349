"""How attention is cut into units of work and tiles. This depends on the inputs alone, never on the threads.

Forward, a unit is a block of queries, of one head or several: it owns its rows of the output. Backward, a unit is a
chunk of the keys of one key head, with all the queries that read it: it owns its rows of dk and dv, and holds a partial
dq, which are added up in a fixed order. Units that would add to the same entries of dbias form one sequence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from headwise.attention.inputs import AttentionInputs
from headwise.shapes import IntArray

_PARTIALS = 32 * 2**20  # bytes that the partial dq may take
_CHUNKS = 8
_SMALLEST_CHUNK = 1024


def split_range(start: int, stop: int, size: int) -> Iterator[slice]:
    """Cut start … stop into slices of about the same size, at most `size`."""
    count = -(-(stop - start) // size)
    for i in range(count):
        yield slice(start + (stop - start) * i // count, start + (stop - start) * (i + 1) // count)


def backward_schedule(inputs: AttentionInputs) -> tuple[IntArray, IntArray]:
    """Starts of the sequences (S + 1,), and chunks of keys (C, 5) in the order of the sequences.

    A row of the chunks is (item, key head, first key, end of the keys, number of its partial dq). A sequence shares no
    entry of dk, dv or dbias with another, and is computed in order.
    """
    *lead, heads, n, m = inputs.shape
    items, groups = math.prod(lead), inputs.groups
    partial = max(items * heads * n * inputs.q.shape[-1] * inputs.q.itemsize, 1)
    count = max(1, min(_CHUNKS // max(items * groups, 1), 1 + _PARTIALS // partial, m // _SMALLEST_CHUNK))
    if inputs.bias is None:
        return _grid(items, groups, m, count)
    *bias_lead, bias_heads, _, bias_m = inputs.bias.shape
    _, units = _grid(items, groups, m, 1 if bias_m == 1 else count)
    read = np.broadcast_to(np.arange(math.prod(bias_lead)).reshape(bias_lead), lead).flatten()[units[:, 0]]
    owner = np.stack([read, units[:, 1] if bias_heads > 1 else 0 * read, units[:, 4]])
    order = np.lexsort(owner[::-1])  # stable: the units of an owner stay in their order
    changes = np.any(np.diff(owner[:, order]) != 0, axis=0)
    return np.flatnonzero(np.concatenate([[True], changes, [True]])[: len(units) + 1]), units[order]


@lru_cache(maxsize=64)
def _grid(items: int, groups: int, m: int, count: int) -> tuple[IntArray, IntArray]:
    """Every (item, key head) cut into `count` chunks, each a sequence of its own."""
    item, group, number = np.indices((items, groups, count)).reshape(3, -1)
    units = np.stack([item, group, m * number // count, m * (number + 1) // count, number], axis=1).astype(np.intp)
    return np.arange(len(units) + 1, dtype=np.intp), units
