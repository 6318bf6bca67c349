# mypy: ignore-errors
"""The compiled loops for few queries against many keys, as in decoding with a cache of keys and values.

Keys and values are read once for all query rows that share a key head, a vector of a key's numbers at a time, in the
type in which they are stored. Splits of the keys are independent units, merged by their log-sum-exp.

Letters in the comments: r query rows of one key head (its query heads times their queries), c keys of a block.
Rows are read in the vectors that `dots` describes.
"""

import math

import numpy as np
from numba import types

from headwise.attention.compiled.dots import dot, dots, padded_width
from headwise.attention.compiled.processor import PROCESSOR
from headwise.attention.compiled.simd import block_product, compiled, num_lanes, pointer
from headwise.attention.compiled.team import COARSE, EMPTY, NONFINITE
from headwise.attention.compiled.tile import has_no_rule, key_range, rule_types, start_of, step_of, units
from headwise.attention.compiled.vector_ops import exp2, lanes_max, lanes_sum, maximum, not_finite, powers
from headwise.attention.compiled.work import COUNTER, add, take

_BLOCK = 512  # keys whose logits are computed before their values are read

_LARGEST_ERROR = 2.0**-10 * math.log2(math.e)  # of rounding the maximum logit, beyond which it is `COARSE`

_CHUNK = 32  # keys that several groups of rows read in turn, from the first-level cache

_AHEAD = 32  # keys between the one that is read and the one that is fetched into the cache

_PART = 64, 32  # keys whose values are summed before they are added to the rest: for one query, for several


def decode_types(real, stored):
    """Signature of `decode`, for keys and values stored in another type."""
    source, cached = (types.Array(kind, 4, "A", readonly=True) for kind in (real, stored))
    arrays = (types.Array(real, axes, "C") for axes in (5, 4, 2))
    rule, n = rule_types(real, types.uint8), types.intp
    return types.intp(COUNTER, source, cached, cached, rule, n, n, n, COUNTER, *arrays)


def decode(counter, q, k, v, rule, begin, end, split_keys, ended, parts, o, statistics):
    """Units of `counter`: `parts` (S, L, H, N, e + 2), of each split of the keys the sum of its weighted values, its
    maximum and its sum of exponentials.

    A unit is one split of the keys begin … end of one key head. `ended` (L G,) counts the splits of each key head, and
    who ends the last merges them into o (L, H, N, e), and shift and total, which are `statistics` (2, L H N). Returns
    `team.NONFINITE`, `team.EMPTY` and `team.COARSE`.
    """
    heads, n, d = q.shape[1:]
    groups, m, e = v.shape[1:]
    splits, repeat = parts.shape[0], heads // groups
    rows = repeat * n
    unit, factor = units(rule, o)
    lane, plain = num_lanes(o), has_no_rule(rule)
    e_vectors = (e + lane - 1) // lane
    wide_e = e_vectors * lane
    queries, s, sums = (
        np.zeros(rows * padded_width(d, lane), o.dtype),
        np.empty(rows * _BLOCK, o.dtype),
        np.empty(rows * wide_e, o.dtype),
    )
    base, part, bad, one = np.zeros(lane, o.dtype), np.zeros(lane, o.dtype), np.zeros(lane, o.dtype), unit / unit
    peak, weight, notes = np.empty(rows, o.dtype), np.empty(rows, o.dtype), 0
    first, last = take(counter)
    while first < last:
        for work in range(first, last):
            item, g, split = work // (groups * splits), work // splits % groups, work % splits
            _gather_queries(queries, q, item, g * repeat, rows, factor)
            peak[:] = -np.inf
            weight[:] = 0
            sums[:] = 0
            low, high = key_range(rule, item, 0, n, m)
            low, high = max(low, begin + split * split_keys), min(high, begin + (split + 1) * split_keys, end)
            for at in range(low, high, _BLOCK):
                c = min(_BLOCK, high - at)
                vectors = (c + lane - 1) // lane
                _products(s, queries, k, item, g, at, rows, d, c)
                for row in range(rows):
                    logits = s[row * _BLOCK : (row + 1) * _BLOCK]
                    logits[c:] = 0
                    not_finite(logits, logits, bad, bad, one, vectors, lane)
                    if not plain:
                        _apply_rule(logits, rule, item, g * repeat + row // n, row % n, at, c)
                    logits[c:] = -np.inf
                    shrink, total = _exponentiate(logits, peak, row, unit, vectors, base, part)
                    weight[row] = weight[row] * shrink + total
                    if shrink != 1:
                        for i in range(row * wide_e, row * wide_e + wide_e):
                            sums[i] *= shrink
                _add_values(sums, s, v, item, g, at, rows, e, c)
            not_finite(sums, sums, bad, bad, one, rows * e_vectors, lane)
            for row in range(rows):
                h, query = g * repeat + row // n, row % n
                result = parts[split, item, h, query]
                result[e], result[e + 1] = peak[row], weight[row]
                for i in range(e):
                    result[i] = sums[row * wide_e + (i if i < wide_e - lane else i + wide_e - e)]
            if add(ended, item * groups + g, 1) == splits - 1:
                for row in range(rows):
                    notes |= _merge(parts, unit, o, statistics, item, g * repeat + row // n, row % n)
        first, last = take(counter)
    return notes | (0 if (bad == 0).all() else NONFINITE)


@compiled
def _gather_queries(queries, q, item, head, rows, factor):
    """Write the rows that share a key head, from this query head on, times a factor and padded as `dots` reads them."""
    n, d, lane = q.shape[2], q.shape[3], num_lanes(queries)
    wide = (d + lane - 1) // lane * lane
    for row in range(rows):
        for i in range(d):
            at = i if i < wide - lane else i + wide - d
            queries[row * padded_width(d, lane) + at] = q[item, head + row // n, row % n, i] * factor


@compiled
def _exponentiate(logits, peak, row, unit, vectors, base, part):
    """Replace logits by their powers under the maximum of this row so far, which is updated.

    Returns the factor by which what was summed under the old maximum shrinks, and the sum of these powers.
    """
    lane, before = num_lanes(logits), peak[row]
    part[:] = before
    maximum(logits, logits, part, part, unit, vectors, lane)
    peak[row] = lanes_max(part)
    base[:] = peak[row] if peak[row] > -np.inf else 0
    part[:] = 0
    powers(logits, logits, base, part, unit, vectors, lane)
    return exp2((before - base[0]) * unit), lanes_sum(part)


@compiled
def _merge(parts, unit, o, statistics, item, h, query):
    """Merge the splits of one query by their sums of exponentials, in their order; return what is to note of it."""
    zero, e = unit - unit, o.shape[3]
    highest = parts[:, item, h, query, e].max()
    highest = highest if highest > -np.inf else zero
    result, total = o[item, h, query], zero
    result[:] = 0
    for split in range(parts.shape[0]):
        part = parts[split, item, h, query]
        factor = exp2((part[e] - highest) * unit)
        total += part[e + 1] * factor
        for i in range(e):
            result[i] += part[i] * factor
    row = (item * o.shape[1] + h) * o.shape[2] + query
    statistics[0, row], statistics[1, row] = highest, total
    coarse = COARSE if abs(highest) * unit * np.finfo(o.dtype).eps > _LARGEST_ERROR else 0
    if total == 0:
        return coarse | EMPTY
    for i in range(e):
        result[i] /= total
    return coarse


@compiled
def _products(s, queries, k, item, g, at, rows, d, c):
    """Write the products q · k of a block of c keys into s (rows, _BLOCK), fetching the next keys."""
    lane, step = num_lanes(s), step_of(k, 2)
    keys, wide = pointer(k), padded_width(d, lane)
    for begin in range(0, c, _CHUNK):
        end, row = min(begin + _CHUNK, c), 0
        while row < rows:
            left = rows - row
            count = 4 if left >= 4 and lane >= 4 else 3 if left == 3 and lane >= 4 else 2 if left >= 2 else 1
            group = lane // 4 if count == 3 else lane // count  # keys whose products with so many rows fill a vector
            key, ahead = begin, _AHEAD * step if row == 0 else 0
            while key < end:
                k0, s0 = start_of(k, item, g, at + key), row * _BLOCK + key
                if end - key >= group:
                    if count == 4:
                        _dots_4(s, s0, _BLOCK, queries, row * wide, wide, keys, k0, step, d, ahead)
                    elif count == 3:
                        _dots_3(s, s0, _BLOCK, queries, row * wide, wide, keys, k0, step, d, ahead)
                    elif count == 2:
                        _dots_2(s, s0, _BLOCK, queries, row * wide, wide, keys, k0, step, d, ahead)
                    else:
                        _dots_1(s, s0, _BLOCK, queries, row * wide, wide, keys, k0, step, d, ahead)
                    key += group
                else:
                    for r in range(row, row + count):
                        dot(s, r * _BLOCK + key, queries, r * wide, keys, k0, d)
                    key += 1
            row += count


@compiled
def _add_values(sums, s, v, item, g, at, rows, e, c):
    """Add the weighted values of a block of c keys to sums (rows, whole vectors).

    One query reads the values in the order of memory, which the processor then reads ahead. For several, whose sums of
    a whole row do not fit into registers, those that follow are fetched.
    """
    lane, step, values = num_lanes(sums), step_of(v, 2), pointer(v)
    wide = (e + lane - 1) // lane * lane
    part = _PART[0] if rows == 1 else _PART[1]
    for key in range(0, c, part):
        depth, start = min(part, c - key), start_of(v, item, g, at + key)
        row = 0
        while row < rows:
            left = rows - row
            count = 4 if left >= 4 else left
            j = 0
            while j < wide:
                many = 8 if count == 1 else _SEVERAL
                vectors = many if e - j >= many * lane else _SEVERAL if e - j >= _SEVERAL * lane else 1
                to, a, b = row * wide + j, row * _BLOCK + key, start + min(j, e - lane)
                if row > 0:
                    fetch = b, step
                elif step == e:
                    fetch = start + _AHEAD * step + j * depth, vectors * lane
                else:
                    fetch = b + _AHEAD * step, step
                if count == 4:
                    if vectors > 1:
                        _add_4N(sums, to, wide, s, a, _BLOCK, 1, values, b, step, depth, fetch)
                    else:
                        _add_41(sums, to, wide, s, a, _BLOCK, 1, values, b, step, depth, fetch)
                elif count == 3:
                    if vectors > 1:
                        _add_3N(sums, to, wide, s, a, _BLOCK, 1, values, b, step, depth, fetch)
                    else:
                        _add_31(sums, to, wide, s, a, _BLOCK, 1, values, b, step, depth, fetch)
                elif count == 2:
                    if vectors > 1:
                        _add_2N(sums, to, wide, s, a, _BLOCK, 1, values, b, step, depth, fetch)
                    else:
                        _add_21(sums, to, wide, s, a, _BLOCK, 1, values, b, step, depth, fetch)
                elif vectors == 8:
                    _add_18(sums, to, wide, s, a, _BLOCK, 1, values, b, step, depth, True)
                elif vectors > 1:
                    _add_1N(sums, to, wide, s, a, _BLOCK, 1, values, b, step, depth, True)
                else:
                    _add_11(sums, to, wide, s, a, _BLOCK, 1, values, b, step, depth, True)
                j += vectors * lane
            row += count


@compiled
def _apply_rule(s, rule, item, h, query, at, c):
    """Softcap, bias and mask for the logits of one query and c keys."""
    mask, mask_item, bias, bias_item, _, offset, left, right, _, cap, cap_factor = rule
    if cap:
        inner, outer = s.dtype.type(cap_factor), s.dtype.type(cap)
        for i in range(c):
            s[i] = s.dtype.type(math.tanh(s[i] * inner * inner)) * outer
    elif bias.size and abs(rule[8]) > 1:
        outer = s.dtype.type(abs(rule[8]))
        for i in range(c):
            s[i] *= outer
    if bias.size:
        head = bias[bias_item[item], h if bias.shape[1] > 1 else 0]
        row = head[0 if head.shape[0] == 1 else query]
        for i in range(c):
            s[i] += row[0 if row.size == 1 else at + i]
    aligned = query + offset[item] - at
    if left >= 0:
        s[: min(max(aligned - left, 0), c)] = -np.inf
    if right >= 0:
        s[min(max(aligned + right + 1, 0), c) : c] = -np.inf
    if mask.size:
        head_mask = mask[mask_item[item], h if mask.shape[1] > 1 else 0]
        row_mask = head_mask[0 if head_mask.shape[0] == 1 else query]
        for i in range(c):
            if not row_mask[0 if row_mask.size == 1 else at + i]:
                s[i] = -np.inf


_dots_4, _dots_3, _dots_2, _dots_1 = (dots(rows) for rows in (4, 3, 2, 1))
_SEVERAL = 4 if PROCESSOR.registers >= 32 else 2  # vectors side by side, four rows of which fit into the registers
_add_4N, _add_41, _add_3N, _add_31, _add_2N, _add_21 = (
    block_product(rows, vectors, streamed=True) for rows in (4, 3, 2) for vectors in (_SEVERAL, 1)
)
_add_18, _add_1N, _add_11 = (block_product(1, vectors) for vectors in (8, _SEVERAL, 1))
