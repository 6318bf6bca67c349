# mypy: ignore-errors
"""The compiled loops of attention: one call computes a range of units, from problems of a few tokens to long sequences.

A tile of logits is stored transposed, as (keys, queries), so that the maximum, sum and shift of several
queries form one vector, and every product reads keys and values where they are in memory, whatever their strides. Only
the block of queries is copied to another layout, once for all the keys it meets.

Letters in the comments: r queries and c keys of a tile, w the queries rounded up to whole vectors, d and e widths of a
key and a value. A tile holds the logits divided by a factor, so that 2^((tile − shift) · `unit`) is the exponential.
"""

import math

import numpy as np
from numba import njit, types

from headwise.attention.compiled.engine import COLUMNS, ROWS
from headwise.attention.compiled.mask_bias import (
    ALL_HIDDEN,
    SOME_HIDDEN,
    add_bias,
    add_bias_gradient,
    clear,
    hide_tile,
    read_mask,
)
from headwise.attention.compiled.simd import compiled, multiply, num_lanes, pointer
from headwise.attention.compiled.vector_ops import exp2, maximum, not_finite, powers, scale, softmax_backward, transpose

__all__ = ["backward", "backward_types", "forward", "forward_types"]

_LOG2E = math.log2(math.e)

# What hides or moves logits travels together: mask and bias, each (items, heads or 1, N or 1, M or 1) or empty, with
# the item of theirs that an item reads; valid keys and offset of each item; left and right of the window, −1 where
# unbounded; scale; softcap or 0, and its factor (`softcap_factor`).


def _rule_types(real):
    def read_only(kind, axes):
        return types.Array(kind, axes, "A", readonly=True)

    items = types.Array(types.intp, 1, "C")
    mask, bias = read_only(types.uint8, 4), read_only(real, 4)
    return types.Tuple((mask, items, bias, items, items, items, types.intp, types.intp, *[types.float64] * 3))


def forward_types(real):
    """Signature of `forward`: one for each type, whatever the strides."""
    source, target = types.Array(real, 4, "A", readonly=True), types.Array(real, 4, "C")
    rows = types.Array(real, 3, "C")
    return types.boolean(types.intp, types.intp, source, source, source, _rule_types(real), target, rows, rows, target)


def backward_types(real):
    """Signature of `backward`."""
    source, target = types.Array(real, 4, "A", readonly=True), types.Array(real, 4, "C")
    rows, index = types.Array(real, 3, "C"), types.Array(types.intp, 1, "C")
    chunks, partial = types.Array(types.intp, 2, "C"), types.Array(real, 5, "C")
    return types.void(
        *(types.intp, types.intp, index, chunks, source, source, source, _rule_types(real)),
        *(source, source, rows, rows, partial, target, target, target),
    )


def forward(first, last, q, k, v, rule, o, shift, total, p):
    """Units first … last: o (L, H, N, e), shift and total (L, H, N), and the weights p if it is not empty.

    A unit is a block of queries of one head. Returns whether a number was met that is not finite.
    """
    heads, n, d = q.shape[1:]
    m, e = v.shape[2:]
    cuts = (n + ROWS - 1) // ROWS
    repeat = heads // k.shape[1]
    lane = num_lanes(o)
    qt, s, ot = _aligned(d * ROWS, o), _aligned(COLUMNS * ROWS, o), _aligned(e * ROWS, o)
    top, add, base, shrink = _aligned(ROWS, o), _aligned(ROWS, o), _aligned(ROWS, o), _aligned(ROWS, o)
    bad, part, unused, tanh = _aligned(ROWS, o), _aligned(ROWS, o), _aligned(ROWS, o), np.empty(0, o.dtype)
    unit, sign = _units(rule, o)
    one, (rows, hidden) = unit / unit, _buffers(rule, o)
    for work in range(first, last):
        item, h, start = work // (cuts * heads), work // cuts % heads, work % cuts * ROWS
        g, r = h // repeat, min(ROWS, n - start)
        w = (r + lane - 1) // lane * lane
        _query_columns(q, item, h, start, r, w, sign, qt)
        ot[: e * w] = 0
        top[:w] = -np.inf
        add[:w] = 0
        low, high = _key_range(rule, item, start, r, m)
        started = False
        for at in range(low, high, COLUMNS):
            c = min(COLUMNS, high - at)
            if not _logits(s, tanh, qt, k, rule, item, h, g, start, r, w, at, c, bad, rows, hidden):
                continue
            shrink[:w] = top[:w]
            maximum(s, s, top, top, one, c, w)
            for j in range(w):
                base[j] = top[j] if top[j] > -np.inf else 0
            if started:
                powers(shrink, shrink, base, unused, unit, 1, w)  # what was summed under the old maximum shrinks
                scale(ot, ot, shrink, unused, one, e, w)
                scale(add, add, shrink, unused, one, 1, w)
            part[:w] = 0
            powers(s, s, base, part, unit, c, w)
            for j in range(w):
                add[j] += part[j]
            multiply(ot, 0, w, pointer(v), _start(v, item, g, at), _step(v, 3), _step(v, 2), s, 0, w, e, w, c, started)
            started = True
        for j in range(r):
            shift[item, h, start + j] = top[j] if top[j] > -np.inf else 0
            total[item, h, start + j] = add[j]
            shrink[j] = 1 / add[j] if add[j] != 0 else 0
        shrink[r:w] = 0
        scale(ot, ot, shrink, unused, one, e, w)
        transpose(pointer(ot), 0, w, 1, e, r, pointer(o), _start(o, item, h, start), e, lane)
        not_finite(ot, ot, bad, bad, one, e, w)
        if p.size:
            _weigh(p, s, tanh, qt, k, rule, item, h, g, start, r, w, low, high, shift, total, rows, hidden)
    return not (bad == 0).all()


def backward(first, last, sequences, chunks, q, k, v, rule, do, o, shift, total, dq, dk, dv, dbias):
    """Sequences first … last of chunks: partial dq (P, L, H, N, d), dk and dv (L, G, M, whole vectors), dbias.

    A chunk is (item, key head, first key, last key, number of its partial dq). It owns its rows of dk and dv.
    """
    heads, n, d = q.shape[1:]
    m, e = v.shape[2:]
    repeat = heads // k.shape[1]
    wide_d, wide_e = dk.shape[3], dv.shape[3]
    lane = num_lanes(dk)
    flat_dk, flat_dv = dk.reshape(dk.size), dv.reshape(dv.size)
    qt, dot, dqt = _aligned(d * ROWS, dk), _aligned(e * ROWS, dk), _aligned(d * ROWS, dk)
    q_rows, do_rows = _aligned(ROWS * wide_d, dk), _aligned(ROWS * wide_e, dk)
    u, ds = _aligned(COLUMNS * ROWS, dk), _aligned(COLUMNS * ROWS, dk)
    tanh = np.empty(COLUMNS * ROWS if rule[9] else 0, dk.dtype)
    top, delta, unused = _aligned(ROWS, dk), _aligned(ROWS, dk), _aligned(ROWS, dk)
    unit, sign = _units(rule, dk)
    rows, hidden = _buffers(rule, dk)
    factor = dk.dtype.type(rule[8])
    for number in range(sequences[first], sequences[last]):
        item, g, chunk_low, chunk_high, partial = chunks[number]
        for h in range(g * repeat, (g + 1) * repeat):
            for start in range(0, n, ROWS):
                r = min(ROWS, n - start)
                w = (r + lane - 1) // lane * lane
                low, high = _key_range(rule, item, start, r, m)
                low, high = max(low, chunk_low), min(high, chunk_high)
                if low >= high:
                    continue
                _query_columns(q, item, h, start, r, w, sign, qt)
                _rows(q, item, h, start, r, wide_d, q_rows)
                _cotangent(do, o, shift, total, item, h, start, r, w, wide_e, dot, do_rows, delta, top)
                dqt[: d * w] = 0
                for at in range(low, high, COLUMNS):
                    c = min(COLUMNS, high - at)
                    if not _logits(u, tanh, qt, k, rule, item, h, g, start, r, w, at, c, unused, rows, hidden):
                        continue
                    powers(u, u, top, unused, unit, c, w)
                    key = (item * k.shape[1] + g) * m + at
                    multiply(
                        flat_dv, key * wide_e, wide_e, pointer(u), 0, w, 1, do_rows, 0, wide_e, c, wide_e, r, True
                    )  # o = p v
                    multiply(
                        ds,
                        0,
                        w,
                        pointer(v),
                        _start(v, item, g, at),
                        _step(v, 2),
                        _step(v, 3),
                        dot,
                        0,
                        w,
                        c,
                        w,
                        e,
                        False,
                    )
                    softmax_backward(ds, u, delta, unused, unit, c, w)  # p = softmax(s)
                    if dbias.size:
                        add_bias_gradient(dbias, rule[3][item], h, start, r, w, at, c, ds, rows)
                    if tanh.size:
                        for i in range(c * w):
                            ds[i] *= 1 - tanh[i] * tanh[i]  # s = cap tanh(t / cap):  dt = ds (1 − tanh²)
                    multiply(
                        dqt,
                        0,
                        w,
                        pointer(k),
                        _start(k, item, g, at),
                        _step(k, 3),
                        _step(k, 2),
                        ds,
                        0,
                        w,
                        d,
                        w,
                        c,
                        True,
                    )
                    multiply(flat_dk, key * wide_d, wide_d, pointer(ds), 0, w, 1, q_rows, 0, wide_d, c, wide_d, r, True)
                for i in range(d * w):
                    dqt[i] *= factor  # t = scale q kᵀ
                transpose(
                    pointer(dqt),
                    0,
                    w,
                    1,
                    d,
                    r,
                    pointer(dq),
                    ((partial * q.shape[0] + item) * heads + h) * n * d + start * d,
                    d,
                    lane,
                )
        begin = (item * k.shape[1] + g) * m
        for i in range((begin + chunk_low) * wide_d, (begin + chunk_high) * wide_d):
            flat_dk[i] *= factor


@compiled
def _aligned(size, like):
    """Room for `size` numbers that begins on a boundary of the cache's lines."""
    room = np.zeros(size + 64 // like.itemsize, like.dtype)
    skip = (-room.ctypes.data) % 64 // like.itemsize
    return room[skip : skip + size]


@compiled
def _start(a, item, h, row):
    return (item * a.strides[0] + h * a.strides[1] + row * a.strides[2]) // a.itemsize


@compiled
def _step(a, axis):
    return a.strides[axis] // a.itemsize


@compiled
def _units(rule, like):
    """Factor of a tile's numbers that makes them logits · log2(e), and the sign that q takes on for it to be positive.

    With a bias or a softcap, a tile holds the logits themselves, else q · k.
    """
    scale, cap = rule[8], rule[9]
    unit = 1.0 if cap or rule[2].size or scale == 0 else abs(scale)
    return like.dtype.type(unit * _LOG2E), like.dtype.type(np.sign(scale))


@compiled
def _key_range(rule, item, start, r, m):
    """The range of keys that any of r queries may see, apart from the mask array."""
    valid, offset, left, right = rule[4][item], rule[5][item], rule[6], rule[7]
    low = 0 if left < 0 else min(max(start + offset - left, 0), m)
    high = valid if right < 0 else max(min(start + r - 1 + offset + right + 1, valid), 0)
    return low, high


@compiled
def _query_columns(q, item, h, start, r, w, sign, to):
    """Write r queries of a head as columns (d, w), padded with zeros."""
    d, columns = q.shape[3], pointer(to)
    transpose(pointer(q), _start(q, item, h, start), _step(q, 2), _step(q, 3), r, d, columns, 0, w, num_lanes(to))
    clear(columns, d, r, w)
    if sign != 1:
        for i in range(d * w):
            columns[i] *= sign


@compiled
def _rows(a, item, h, start, r, wide, to):
    """Write r rows of a head side by side, each filled up to `wide`."""
    one = to.dtype.type(1)
    for j in range(r):
        _row(pointer(a), _start(a, item, h, start + j), _step(a, 3), a.shape[3], one, pointer(to), j * wide, wide)


@compiled
def _row(a, a0, step, count, factor, to, t0, wide):
    """Write a row times a factor, and zeros up to `wide`; all between `pointer`, which LLVM turns into vectors."""
    if step == 1:
        for i in range(count):
            to[t0 + i] = a[a0 + i] * factor
    else:
        for i in range(count):
            to[t0 + i] = a[a0 + i * step] * factor
    for i in range(count, wide):
        to[t0 + i] = 0


@compiled
def _buffers(rule, like):
    """Two buffers of a tile's size, empty where there is neither mask nor bias."""
    size = COLUMNS * ROWS if rule[0].size or rule[2].size else 0
    return _aligned(size, like), _aligned(size, like)


@compiled
def _cotangent(do, o, shift, total, item, h, start, r, w, wide, dot, do_rows, delta, top):
    """Lay out do' = do / total as (e, w) and (r, wide), with Σ do' ∘ o and the shift of each query.

    p = u / total, so that with do':  dv = uᵀ do',  ds = u ∘ (do' vᵀ − Σ do' ∘ o).
    """
    e, rows, columns = do.shape[3], pointer(do_rows), pointer(dot)
    for j in range(r):
        inverse = total[item, h, start + j]
        inverse = 1 / inverse if inverse != 0 else inverse
        _row(pointer(do), _start(do, item, h, start + j), _step(do, 3), e, inverse, rows, j * wide, wide)
        top[j] = shift[item, h, start + j]
        delta[j] = _dot(rows, j * wide, pointer(o), _start(o, item, h, start + j), e, top[j] * 0)
    top[r:w] = 0
    delta[r:w] = 0
    transpose(rows, 0, wide, 1, r, e, columns, 0, w, num_lanes(dot))
    clear(columns, e, r, w)


@njit(nogil=True, fastmath={"reassoc", "contract"})
def _dot(a, a0, b, b0, size, total):
    for i in range(size):
        total += a[a0 + i] * b[b0 + i]
    return total


@compiled
def _logits(s, tanh, qt, k, rule, item, h, g, start, r, w, at, c, bad, rows, hidden):
    """Write a tile (c, w) of logits over their factor, −inf where hidden, and return whether any pair is visible.

    `bad` (w,) becomes NaN where one is not finite.
    """
    mask, mask_item, bias, bias_item, _, offset, left, right, factor, cap, cap_factor = rule
    state = read_mask(mask, mask_item[item], h, start, r, w, at, c, rows, hidden) if mask.size else 0
    if state == ALL_HIDDEN:
        return False
    multiply(s, 0, w, pointer(k), _start(k, item, g, at), _step(k, 2), _step(k, 3), qt, 0, w, c, w, k.shape[3], False)
    not_finite(s, s, bad, bad, s[0], c, w)
    if cap:
        inner, outer = s.dtype.type(cap_factor), s.dtype.type(cap)
        for i in range(c * w):
            x = s.dtype.type(math.tanh(s[i] * inner * inner))
            s[i] = x * outer
            if tanh.size:
                tanh[i] = x
    elif bias.size:
        outer = s.dtype.type(abs(factor))
        for i in range(c * w):
            s[i] *= outer
    if bias.size:
        add_bias(s, bias, bias_item[item], h, start, r, w, at, c, rows)
    if left >= 0 or right >= 0:
        for i in range(c):
            key = at + i - offset[item] - start
            if right >= 0 and key > right:  # queries before key − right do not see it yet
                s[i * w : i * w + min(key - right, w)] = -np.inf
            if left >= 0 and key + left + 1 < w:  # queries after key + left no longer see it
                s[i * w + max(key + left + 1, 0) : i * w + w] = -np.inf
    if state == SOME_HIDDEN:
        hide_tile(s, hidden, bad, c, w)
    return True


@compiled
def _weigh(p, s, tanh, qt, k, rule, item, h, g, start, r, w, low, high, shift, total, rows, hidden):
    """Write the weights of r queries, now that their sums are known."""
    unit, _ = _units(rule, s)
    unused = _aligned(ROWS, s)
    top = shift[item, h, start : start + r]
    for at in range(low, high, COLUMNS):
        c = min(COLUMNS, high - at)
        if not _logits(s, tanh, qt, k, rule, item, h, g, start, r, w, at, c, unused, rows, hidden):
            continue
        for j in range(r):
            inverse = total[item, h, start + j]
            inverse = 1 / inverse if inverse != 0 else inverse
            for i in range(c):
                p[item, h, start + j, at + i] = exp2((s[i * w + j] - top[j]) * unit) * inverse
