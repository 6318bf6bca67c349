# mypy: ignore-errors
"""The compiled loops of attention: one call computes a range of units, from problems of a few tokens to long sequences.

Letters in the comments are those of `tile`.
"""

import numpy as np
from numba import njit, types

from headwise.attention.compiled.engine import ROWS
from headwise.attention.compiled.mask_bias import ALL_HIDDEN, ALL_VISIBLE, add_bias_gradient, clear
from headwise.attention.compiled.simd import compiled, inlined, multiply, num_lanes, pointer
from headwise.attention.compiled.team import EMPTY, NONFINITE
from headwise.attention.compiled.tile import (
    aligned,
    has_no_rule,
    key_range,
    logits,
    query_columns,
    rule_types,
    start_of,
    step_of,
    units,
)
from headwise.attention.compiled.vector_ops import exp2, maximum, not_finite, powers, scale, softmax_backward, transpose
from headwise.attention.compiled.work import COUNTER, take


def forward_types(real):
    """Signature of `forward`: one for each type, whatever the strides."""
    source, target = types.Array(real, 4, "A", readonly=True), types.Array(real, 4, "C")
    rows = types.Array(real, 3, "C")
    return types.intp(COUNTER, types.intp, source, source, source, rule_types(real), target, rows, rows, target)


def backward_types(real):
    """Signature of `backward`."""
    source, target = types.Array(real, 4, "A", readonly=True), types.Array(real, 4, "C")
    rows, index = types.Array(real, 3, "C"), types.Array(types.intp, 1, "C")
    chunks, partial = types.Array(types.intp, 2, "C"), types.Array(real, 5, "C")
    return types.boolean(
        *(COUNTER, types.intp, index, chunks, source, source, source, rule_types(real)),
        *(source, source, rows, rows, partial, target, target, target),
    )


def forward(counter, columns, q, k, v, rule, o, shift, total, p):
    """Units of `counter`: o (L, H, N, e), shift and total (L, H, N), and the weights p if it is not empty.

    A unit is a block of queries of one head; `columns` is how many keys a tile has. Returns `team.NONFINITE` and
    `team.EMPTY`.
    """
    heads, n, d = q.shape[1:]
    m, e = v.shape[2:]
    cuts = (n + ROWS - 1) // ROWS
    repeat = heads // k.shape[1]
    lane = num_lanes(o)
    qt, s, ot = aligned(d * ROWS, o), aligned(columns * ROWS, o), aligned(e * ROWS, o)
    top, add, base, shrink = aligned(ROWS, o), aligned(ROWS, o), aligned(ROWS, o), aligned(ROWS, o)
    bad, part, unused, tanh = aligned(ROWS, o), aligned(ROWS, o), aligned(ROWS, o), np.empty(0, o.dtype)
    words, buffer = np.empty(columns, np.uint64), aligned(columns * ROWS if rule[2].size else 0, o)
    unit, factor = units(rule, o)
    one = unit / unit
    plain, empty = has_no_rule(rule), 0
    first, last = take(counter)
    while first < last:
        for work in range(first, last):
            item, h, start = work // (cuts * heads), work // cuts % heads, work % cuts * ROWS
            g, r = h // repeat, min(ROWS, n - start)
            w = (r + lane - 1) // lane * lane
            if start == 0 and h % repeat == 0:
                bad[0] += _times_zero(k, item, g, rule[4][item], unit)
            query_columns(q, item, h, start, r, w, factor, qt)
            not_finite(qt, qt, bad, bad, one, d, w)
            _fill(ot, 0, e * w, 0)
            _fill(top, 0, w, -np.inf)
            _fill(add, 0, w, 0)
            low, high = key_range(rule, item, start, r, m)
            started = False
            for at in range(low, high, columns):
                c = min(columns, high - at)
                for j in range(w):
                    shrink[j] = top[j]
                if plain:
                    keys, across, down = start_of(k, item, g, at), step_of(k, 3), step_of(k, 2)
                    multiply(s, 0, w, pointer(k), keys, down, across, qt, 0, w, c, w, d, False)
                    state = ALL_VISIBLE
                else:
                    state = logits(s, tanh, qt, k, rule, item, h, g, start, r, w, at, c, top, words, buffer, columns)
                if state == ALL_HIDDEN:
                    continue
                if state == ALL_VISIBLE:
                    maximum(s, s, top, top, one, c, w)
                higher = False
                for j in range(w):
                    base[j] = top[j] if top[j] > -np.inf else 0
                    higher |= shrink[j] < top[j]
                if started and higher:
                    powers(shrink, shrink, base, unused, unit, 1, w)  # what was summed under the old maximum shrinks
                    scale(ot, ot, shrink, unused, one, e, w)
                    scale(add, add, shrink, unused, one, 1, w)
                _fill(part, 0, w, 0)
                powers(s, s, base, part, unit, c, w)
                for j in range(w):
                    add[j] += part[j]
                values, across, down = start_of(v, item, g, at), step_of(v, 3), step_of(v, 2)
                multiply(ot, 0, w, pointer(v), values, across, down, s, 0, w, e, w, c, started)
                started = True
            for j in range(r):
                shift[item, h, start + j] = top[j] if top[j] > -np.inf else 0
                total[item, h, start + j] = add[j]
                if add[j] == 0:
                    empty = EMPTY
                shrink[j] = 1 / add[j] if add[j] != 0 else 0
            _fill(shrink, r, w, 0)
            scale(ot, ot, shrink, unused, one, e, w)
            transpose(pointer(ot), 0, w, 1, e, r, pointer(o), start_of(o, item, h, start), e, lane)
            not_finite(ot, ot, bad, bad, one, e, w)
            not_finite(add, add, bad, bad, one, 1, w)
            if p.size:
                _weigh(
                    p, s, tanh, qt, k, rule, item, h, g, start, r, w, low, high, shift, total, words, buffer, columns
                )
        first, last = take(counter)
    return empty | (0 if (bad == 0).all() else NONFINITE)


def backward(counter, columns, sequences, chunks, q, k, v, rule, do, o, shift, total, dq, dk, dv, dbias):
    """Sequences of chunks in `counter`: partial dq (P, L, H, N, d), dk and dv (L, G, M, whole vectors), dbias.

    A chunk is (item, key head, first key, last key, number of its partial dq). It owns its rows of dk and dv. Returns
    whether a gradient is not finite.
    """
    heads, n, d = q.shape[1:]
    m, e = v.shape[2:]
    repeat = heads // k.shape[1]
    wide_d, wide_e = dk.shape[3], dv.shape[3]
    lane = num_lanes(dk)
    flat_dk, flat_dv = dk.reshape(dk.size), dv.reshape(dv.size)
    qt, dot, dqt = aligned(d * ROWS, dk), aligned(e * ROWS, dk), aligned(d * ROWS, dk)
    q_rows, do_rows = aligned(ROWS * wide_d, dk), aligned(ROWS * wide_e, dk)
    u, ds = aligned(columns * ROWS, dk), aligned(columns * ROWS, dk)
    tanh = aligned(columns * ROWS if rule[9] else 0, dk)
    top, delta, unused = aligned(ROWS, dk), aligned(ROWS, dk), aligned(ROWS, dk)
    unit, q_factor = units(rule, dk)
    words, buffer = np.empty(columns, np.uint64), aligned(columns * ROWS if dbias.size else 0, dk)
    factor = dk.dtype.type(rule[8])
    bad = aligned(ROWS, dk)
    plain = has_no_rule(rule)
    first, last = take(counter)
    while first < last:
        for number in range(sequences[first], sequences[last]):
            item, g, chunk_low, chunk_high, partial = chunks[number]
            for h in range(g * repeat, (g + 1) * repeat):
                for start in range(0, n, ROWS):
                    r = min(ROWS, n - start)
                    w = (r + lane - 1) // lane * lane
                    low, high = key_range(rule, item, start, r, m)
                    low, high = max(low, chunk_low), min(high, chunk_high)
                    if low >= high:
                        continue
                    query_columns(q, item, h, start, r, w, q_factor, qt)
                    _rows(q, item, h, start, r, wide_d, q_rows)
                    _cotangent(do, o, shift, total, item, h, start, r, w, wide_e, dot, do_rows, delta, top)
                    dqt[: d * w] = 0
                    for at in range(low, high, columns):
                        c = min(columns, high - at)
                        if plain:
                            keys, across, down = start_of(k, item, g, at), step_of(k, 3), step_of(k, 2)
                            multiply(u, 0, w, pointer(k), keys, down, across, qt, 0, w, c, w, d, False)
                            state = ALL_VISIBLE
                        else:
                            state = logits(
                                u, tanh, qt, k, rule, item, h, g, start, r, w, at, c, unused, words, buffer, columns
                            )
                        if state == ALL_HIDDEN:
                            continue
                        powers(u, u, top, unused, unit, c, w)
                        key = (item * k.shape[1] + g) * m + at
                        pu, pds, pk, pv = pointer(u), pointer(ds), pointer(k), pointer(v)
                        keys, values = start_of(k, item, g, at), start_of(v, item, g, at)
                        multiply(
                            flat_dv, key * wide_e, wide_e, pu, 0, w, 1, do_rows, 0, wide_e, c, wide_e, r, True
                        )  # o = p v
                        multiply(ds, 0, w, pv, values, step_of(v, 2), step_of(v, 3), dot, 0, w, c, w, e, False)
                        softmax_backward(ds, u, delta, unused, unit, c, w)  # p = softmax(s)
                        if dbias.size:
                            add_bias_gradient(dbias, rule[3][item], h, start, r, w, at, c, ds, buffer, columns)
                        if tanh.size:
                            for i in range(c * w):
                                ds[i] *= 1 - tanh[i] * tanh[i]  # s = cap tanh(t / cap):  dt = ds (1 − tanh²)
                        multiply(dqt, 0, w, pk, keys, step_of(k, 3), step_of(k, 2), ds, 0, w, d, w, c, True)
                        multiply(flat_dk, key * wide_d, wide_d, pds, 0, w, 1, q_rows, 0, wide_d, c, wide_d, r, True)
                    _multiply_by(pointer(dqt), 0, d * w, factor)  # t = scale q kᵀ
                    not_finite(dqt, dqt, bad, bad, unit, d, w)
                    to = ((partial * q.shape[0] + item) * heads + h) * n * d + start * d
                    transpose(pointer(dqt), 0, w, 1, d, r, pointer(dq), to, d, lane)
            begin = (item * k.shape[1] + g) * m
            low, high = begin + chunk_low, begin + chunk_high
            _multiply_by(pointer(dk), low * wide_d, high * wide_d, factor)
            bad[0] += _sum_times_zero(pointer(dk), low * wide_d, 1, (high - low) * wide_d, bad[0])
            bad[0] += _sum_times_zero(pointer(dv), low * wide_e, 1, (high - low) * wide_e, bad[0])
        first, last = take(counter)
    return not (bad == 0).all()


@inlined
def _fill(a, first, last, value):
    """Write a number into a[first:last], without a view of the array, whose references would be counted."""
    for i in range(first, last):
        a[i] = value


@compiled
def _multiply_by(a, first, last, factor):
    """Multiply what `pointer` gave for an array, from first to last: LLVM turns the loop into vectors."""
    for i in range(first, last):
        a[i] *= factor


@compiled
def _rows(a, item, h, start, r, wide, to):
    """Write r rows of a head side by side, each filled up to `wide`."""
    one = to.dtype.type(1)
    for j in range(r):
        _row(pointer(a), start_of(a, item, h, start + j), step_of(a, 3), a.shape[3], one, pointer(to), j * wide, wide)


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
def _cotangent(do, o, shift, total, item, h, start, r, w, wide, dot, do_rows, delta, top):
    """Lay out do' = do / total as (e, w) and (r, wide), with Σ do' ∘ o and the shift of each query.

    p = u / total, so that with do':  dv = uᵀ do',  ds = u ∘ (do' vᵀ − Σ do' ∘ o).
    """
    e, rows, columns = do.shape[3], pointer(do_rows), pointer(dot)
    for j in range(r):
        inverse = total[item, h, start + j]
        inverse = 1 / inverse if inverse != 0 else inverse
        _row(pointer(do), start_of(do, item, h, start + j), step_of(do, 3), e, inverse, rows, j * wide, wide)
        top[j] = shift[item, h, start + j]
        delta[j] = _dot(rows, j * wide, pointer(o), start_of(o, item, h, start + j), e, top[j] * 0)
    top[r:w] = 0
    delta[r:w] = 0
    clear(columns, e, r, w, num_lanes(dot))
    transpose(rows, 0, wide, 1, r, e, columns, 0, w, num_lanes(dot))


@njit(nogil=True, fastmath={"reassoc", "contract"})
def _dot(a, a0, b, b0, size, total):
    for i in range(size):
        total += a[a0 + i] * b[b0 + i]
    return total


@compiled
def _weigh(p, s, tanh, qt, k, rule, item, h, g, start, r, w, low, high, shift, total, words, buffer, columns):
    """Write the weights of r queries, now that their sums are known."""
    unit, _ = units(rule, s)
    unused = aligned(ROWS, s)
    top = shift[item, h, start : start + r]
    for at in range(low, high, columns):
        c = min(columns, high - at)
        state = logits(s, tanh, qt, k, rule, item, h, g, start, r, w, at, c, unused, words, buffer, columns)
        if state == ALL_HIDDEN:
            continue
        for j in range(r):
            inverse = total[item, h, start + j]
            inverse = 1 / inverse if inverse != 0 else inverse
            for i in range(c):
                p[item, h, start + j, at + i] = exp2((s[i * w + j] - top[j]) * unit) * inverse


@inlined
def _times_zero(a, item, h, rows, like):
    """The sum of so many rows of a head times zero: NaN if a number is not finite."""
    data, width, step = pointer(a), a.shape[3], step_of(a, 3)
    together = max(rows, 1) if step == 1 and step_of(a, 2) == width else 1  # rows that lie one after another
    total = like - like
    for row in range(0, rows, together):
        total += _sum_times_zero(data, start_of(a, item, h, row), step, width * together, total)
    return total


@njit(nogil=True, fastmath={"reassoc"})
def _sum_times_zero(a, a0, step, size, total):
    zero = total - total
    if step == 1:
        for i in range(size):
            total += a[a0 + i] * zero
    else:
        for i in range(size):
            total += a[a0 + i * step] * zero
    return total
