# mypy: ignore-errors
"""What the forward and the backward pass share: the layout of queries, and a tile of logits.

A tile is stored transposed, as (keys, queries), so that the maximum, sum and shift of several queries form one vector,
and every product reads keys and values where they are in memory, whatever their strides. Only the block of queries is
copied to another layout, once for all the keys it meets.

Letters in the comments: r queries and c keys of a tile, w the queries rounded up to whole vectors, d and e widths of a
key and a value. A tile holds the logits divided by a factor, so that 2^((tile − shift) · `unit`) is the exponential.
"""

import math

import numpy as np
from numba import types

from headwise.attention.compiled.mask_bias import (
    ALL_HIDDEN,
    SOME_HIDDEN,
    clear,
    visible_words,
    write_bias,
)
from headwise.attention.compiled.simd import compiled, inlined, multiply, num_lanes, pointer
from headwise.attention.compiled.vector_ops import hide_maximum, transpose

_LOG2E = math.log2(math.e)

# What hides or moves logits travels together: mask and bias, each (items, heads or 1, N or 1, M or 1) or empty, with
# the item of theirs that an item reads; valid keys and offset of each item; left and right of the window, −1 where
# unbounded; scale; softcap or 0, and its factor (`softcap_factor`).


def rule_types(real, mask=types.uint64):
    """Types of the rule; its mask holds words for 64 queries each (`pack_mask`), or bytes."""

    def read_only(kind, axes):
        return types.Array(kind, axes, "A", readonly=True)

    items = types.Array(types.intp, 1, "C")
    arrays = read_only(mask, 4), items, read_only(real, 4), items
    return types.Tuple((*arrays, items, items, types.intp, types.intp, *[types.float64] * 3))


@compiled
def aligned(size, like):
    """Room for `size` numbers that begins on a boundary of the cache's lines."""
    room = np.zeros(size + 64 // like.itemsize, like.dtype)
    skip = (-room.ctypes.data) % 64 // like.itemsize
    return room[skip : skip + size]


@inlined
def start_of(a, item, h, row):
    """Offset of a row of an array (L, H, N, x), in elements."""
    return (item * a.strides[0] + h * a.strides[1] + row * a.strides[2]) // a.itemsize


@inlined
def step_of(a, axis):
    """Stride of an axis, in elements."""
    return a.strides[axis] // a.itemsize


@inlined
def has_no_rule(rule):
    """Whether nothing but the numbers of valid keys hides or moves logits.

    A tile is then one product, without the call of `logits`: passing its arguments, a kilobyte, takes a tenth of the
    time of a head of some dozen tokens.
    """
    return rule[0].size == 0 and rule[2].size == 0 and rule[6] < 0 and rule[7] < 0 and rule[9] == 0


@inlined
def units(rule, like):
    """Factor of a tile's numbers that makes them logits · log2(e), and the factor that queries are multiplied by.

    With a bias or a softcap, a tile holds the logits themselves, else q · k with the sign of the scale.
    """
    scale, cap = rule[8], rule[9]
    biased = rule[2].size > 0
    unit = 1.0 if cap or biased or scale == 0 else abs(scale)
    early = biased and not cap and abs(scale) <= 1  # a larger one could overflow
    return like.dtype.type(unit * _LOG2E), like.dtype.type(scale if early else np.sign(scale))


@inlined
def key_range(rule, item, start, r, m):
    """The range of keys that any of r queries may see, apart from the mask array."""
    valid, offset, left, right = rule[4][item], rule[5][item], rule[6], rule[7]
    low = 0 if left < 0 else min(max(start + offset - left, 0), m)
    high = valid if right < 0 else max(min(start + r - 1 + offset + right + 1, valid), 0)
    return low, high


@inlined
def query_columns(q, item, h, start, r, w, factor, to):
    """Write r queries of a head times a factor as columns (d, w), padded with zeros."""
    d, columns = q.shape[3], pointer(to)
    source, down, across = start_of(q, item, h, start), step_of(q, 2), step_of(q, 3)
    clear(columns, d, r, w, num_lanes(to))
    transpose(pointer(q), source, down, across, r, d, columns, 0, w, num_lanes(to))
    if factor != 1:
        for i in range(d * w):
            columns[i] *= factor


@compiled
def logits(s, tanh, qt, k, rule, item, h, g, start, r, w, at, c, top, words, buffer, columns):
    """Write a tile (c, w) of logits over their factor, −inf where hidden; return what `visible_words` does.

    Where some pairs are hidden, `top` (w,) is raised to the maximum of the others, which takes no pass of its own.
    """
    cap, cap_factor = rule[9], rule[10]
    state = visible_words(words, rule, item, h, start, r, at, c)
    if state == ALL_HIDDEN:
        return ALL_HIDDEN
    bias = rule[2]
    early = bias.size > 0 and cap == 0 and abs(rule[8]) <= 1  # queries have been multiplied by the scale
    if early:
        write_bias(s, bias, rule[3][item], h, start, r, w, at, c, columns)
    keys, down, across = start_of(k, item, g, at), step_of(k, 2), step_of(k, 3)
    multiply(s, 0, w, pointer(k), keys, down, across, qt, 0, w, c, w, k.shape[3], early)
    if cap:
        _cap(pointer(s), pointer(tanh), tanh.size > 0, c * w, s.dtype.type(cap_factor), s.dtype.type(cap))
    elif bias.size > 0 and not early:
        outer = s.dtype.type(abs(rule[8]))
        for i in range(c * w):
            s[i] *= outer
    if bias.size > 0 and not early:
        write_bias(buffer, bias, rule[3][item], h, start, r, w, at, c, columns)
        for i in range(c * w):
            s[i] += buffer[i]
    if state == SOME_HIDDEN:
        hide_maximum(s, words, top, top, s[0], c, w)
    return state


@compiled
def _cap(s, tanh, keep, size, factor, cap):
    """Replace s, which is q · k, by cap · tanh(scale q · k / cap), and keep the tanh."""
    for i in range(size):
        x = math.tanh(s[i] * factor * factor)
        s[i] = x * cap
        if keep:
            tanh[i] = x
