# mypy: ignore-errors
"""Masks and biases of a tile: read along the rows of the arrays, as they are stored, and transposed to the tile.

A tile is (c, w): c keys, and r queries padded to w.
"""

import numpy as np

from headwise.attention.compiled.engine import COLUMNS
from headwise.attention.compiled.simd import compiled, num_lanes, pointer
from headwise.attention.compiled.vector_ops import hide, transpose

__all__ = ["ALL_HIDDEN", "SOME_HIDDEN", "add_bias", "add_bias_gradient", "clear", "hide_tile", "read_mask"]

SOME_HIDDEN, ALL_HIDDEN = 1, 2


@compiled
def read_mask(mask, row, h, start, r, w, at, c, rows, hidden):
    """Write 0 or −inf for each pair of a tile into `hidden` (c, w); return 0, SOME_HIDDEN or ALL_HIDDEN.

    `rows` (r, COLUMNS) is a buffer.
    """
    head = mask[row, h if mask.shape[1] > 1 else 0]
    queries, keys = (1 if head.shape[0] == 1 else r), (1 if head.shape[1] == 1 else c)
    first_query, first_key = (0 if queries == 1 and head.shape[0] == 1 else start), (0 if head.shape[1] == 1 else at)
    visible = 0
    for j in range(queries):
        visible += _read_row(pointer(head), _offset(head, first_query + j, first_key), head.strides[1], keys, rows, j)
    if visible == queries * keys:
        return 0
    if visible == 0:
        return ALL_HIDDEN
    if queries == r and keys == c:
        transpose(pointer(rows), 0, COLUMNS, 1, r, c, pointer(hidden), 0, w, num_lanes(hidden))
        clear(pointer(hidden), c, r, w)
    else:
        for i in range(c):
            for j in range(w):
                hidden[i * w + j] = rows[(0 if queries == 1 else min(j, r - 1)) * COLUMNS + (0 if keys == 1 else i)]
    return SOME_HIDDEN


@compiled
def hide_tile(s, hidden, unused, c, w):
    """Set the logits of hidden pairs to −inf."""
    hide(s, hidden, unused, unused, s[0], c, w)


@compiled
def add_bias(s, bias, row, h, start, r, w, at, c, buffer):
    """Add a tile of the bias to the logits; `buffer` is (c, w)."""
    head = bias[row, h if bias.shape[1] > 1 else 0]
    if head.shape[0] > 1 and head.shape[1] > 1:
        rows, columns = head.strides[0] // head.itemsize, head.strides[1] // head.itemsize
        source = start * rows + at * columns
        transpose(pointer(head), source, rows, columns, r, c, pointer(buffer), 0, w, num_lanes(s))
        clear(pointer(buffer), c, r, w)
        for i in range(c * w):
            s[i] += buffer[i]
    elif head.shape[0] > 1:
        for i in range(c):
            for j in range(r):
                s[i * w + j] += head[start + j, 0]
    else:
        for i in range(c):
            x = head[0, 0 if head.shape[1] == 1 else at + i]
            for j in range(w):
                s[i * w + j] += x


@compiled
def add_bias_gradient(dbias, row, h, start, r, w, at, c, ds, buffer):
    """Add the gradient of a tile's logits to that of the bias, any axis of which may be 1."""
    head = dbias[row, h if dbias.shape[1] > 1 else 0]
    one_row, one_column = head.shape[0] == 1, head.shape[1] == 1
    transpose(pointer(ds), 0, w, 1, c, r, pointer(buffer), 0, COLUMNS, num_lanes(ds))
    for j in range(r):
        target = head[0 if one_row else start + j]
        if one_column:
            for i in range(c):
                target[0] += buffer[j * COLUMNS + i]
        else:
            for i in range(c):
                target[at + i] += buffer[j * COLUMNS + i]


@compiled
def clear(to, rows, r, w):
    """Zero the columns r … w, which belong to no query."""
    for i in range(rows):
        for j in range(r, w):
            to[i * w + j] = 0


@compiled
def _offset(head, query, key):
    return query * head.strides[0] + key * head.strides[1]


@compiled
def _read_row(mask, m0, step, count, rows, j):
    """Write 0 or −inf for `count` booleans of one query, and return how many are True (1)."""
    to, visible = pointer(rows), 0
    zero, hidden = rows.dtype.type(0), rows.dtype.type(-np.inf)
    if step == 1:
        for i in range(count):
            visible += mask[m0 + i]
        if visible == count:
            for i in range(count):
                to[j * COLUMNS + i] = zero
        else:
            for i in range(count):
                to[j * COLUMNS + i] = zero if mask[m0 + i] != 0 else hidden
    else:
        for i in range(count):
            visible += mask[m0 + i * step]
            to[j * COLUMNS + i] = zero if mask[m0 + i * step] != 0 else hidden
    return visible
