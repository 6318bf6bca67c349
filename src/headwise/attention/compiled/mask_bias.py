# mypy: ignore-errors
"""Masks and biases of a tile.

A tile is (c, w): c keys, and r queries padded to w. Which of the pairs are visible is one word for each key, with a bit
for each query. A mask is packed into such words once; its block of queries is as long as a word has bits.
"""

import numpy as np
from numba import types

from headwise.attention.compiled.simd import compiled, inlined, num_lanes, pointer, prefetch
from headwise.attention.compiled.vector_ops import transpose
from headwise.attention.compiled.work import COUNTER, take

WORD = 64  # bits
ALL_VISIBLE, SOME_HIDDEN, ALL_HIDDEN = 0, 1, 2
_LINE = 64  # bytes that are fetched into the cache at once


def pack_mask_types(stored):
    """Signature of `pack_mask`, for a mask whose booleans are read as this type."""
    mask, words = types.Array(stored, 4, "A", readonly=True), types.Array(types.uint64, 4, "C")
    return types.void(COUNTER, mask, words)


def pack_mask(counter, mask, words):
    """Units of `counter`, each a block of queries of one head: words (L, H, blocks, M) of mask (L, H, N, M).

    A mask of one row is for every query.
    """
    heads, n, m = mask.shape[1:]
    blocks = words.shape[2]
    first, last = take(counter)
    while first < last:
        for work in range(first, last):
            item, h, block = work // (blocks * heads), work // blocks % heads, work % blocks
            to = words[item, h, block]
            to[:] = 0
            for j in range(block * WORD, min((block + 1) * WORD, n)):
                _pack_row(pointer(mask[item, h, j]), mask.strides[3], pointer(to), m, np.uint64(j % WORD))
            if n == 1:
                for i in range(m):
                    to[i] = np.uint64(0) - to[i]
        first, last = take(counter)


@compiled
def _pack_row(row, step, words, count, shift):
    if step == 1:
        for i in range(count):
            words[i] |= np.uint64(row[i] != 0) << shift
    else:
        for i in range(count):
            words[i] |= np.uint64(row[i * step] != 0) << shift


@inlined
def visible_words(words, rule, item, h, start, r, at, c):
    """Write which pairs of a tile are visible into `words` (c,), and return whether all, some or none are hidden."""
    mask, offset, left, right = rule[0], rule[5][item], rule[6], rule[7]
    first, last = at - offset - start, at + c - 1 - offset - start  # the queries aligned with the outer keys
    windowed = (right >= 0 and last - right > 0) or (left >= 0 and first + left < r - 1)
    if not windowed and not mask.size:
        return ALL_VISIBLE
    every = ~np.uint64(0) >> np.uint64(WORD - r)
    if mask.size:
        row = mask[rule[1][item], h if mask.shape[1] > 1 else 0, start // WORD if mask.shape[2] > 1 else 0]
        if row.size == 1:
            words[:c] = row[0] & every
        else:
            for i in range(c):
                words[i] = row[at + i] & every
    else:
        words[:c] = every
    if windowed:
        for i in range(c):
            if right >= 0:  # queries before this one do not see the key yet
                words[i] &= _from_bit(first + i - right)
            if left >= 0:  # queries from this one on no longer see it
                words[i] &= ~_from_bit(first + i + left + 1)
    some, common = np.uint64(0), every
    for i in range(c):
        some |= words[i]
        common &= words[i]
    return ALL_HIDDEN if some == 0 else ALL_VISIBLE if common == every else SOME_HIDDEN


@compiled
def _from_bit(number):
    """The bits of a word from a number on, all of them for a negative number."""
    return ~np.uint64(0) << np.uint64(max(number, 0)) if number < WORD else np.uint64(0)


@compiled
def write_bias(s, bias, row, h, start, r, w, at, c, columns):
    """Write a tile of the bias; fetch the next one, of `columns` keys, into the cache."""
    head = bias[row, h if bias.shape[1] > 1 else 0]
    lanes, to = num_lanes(s), pointer(s)
    if head.shape[0] > 1 and head.shape[1] > 1:
        down, across = head.strides[0] // head.itemsize, head.strides[1] // head.itemsize
        source = start * down + at * across
        clear(to, c, r, w, lanes)
        transpose(pointer(head), source, down, across, r, c, to, 0, w, lanes)
        if across == 1:
            for j in range(r):
                for i in range(0, min(columns, head.shape[1] - at - c), _LINE // head.itemsize):
                    prefetch(pointer(head), source + j * down + c + i)
    elif head.shape[0] > 1:
        clear(to, c, r, w, lanes)
        for i in range(c):
            for j in range(r):
                to[i * w + j] = head[start + j, 0]
    else:
        for i in range(c):
            x = head[0, 0 if head.shape[1] == 1 else at + i]
            for j in range(w):
                to[i * w + j] = x


@compiled
def add_bias_gradient(dbias, row, h, start, r, w, at, c, ds, buffer, columns):
    """Add the gradient of a tile's logits to that of the bias, any axis of which may be 1; buffer (r, columns)."""
    head = dbias[row, h if dbias.shape[1] > 1 else 0]
    one_row, one_column = head.shape[0] == 1, head.shape[1] == 1
    transpose(pointer(ds), 0, w, 1, c, r, pointer(buffer), 0, columns, num_lanes(ds))
    for j in range(r):
        target, source = pointer(head[0 if one_row else start + j]), pointer(buffer[j * columns :])
        if one_column:
            for i in range(c):
                target[0] += source[i]
        else:
            for i in range(c):
                target[at + i] += source[i]


@compiled
def clear(to, rows, r, w, lanes):
    """Before r columns are written, zero the others up to w, which belong to no query: the last vector of each row."""
    if r < w:
        for i in range(rows):
            for j in range(lanes):
                to[i * w + w - lanes + j] = 0
