# mypy: ignore-errors
"""The compiled loops for few queries against many keys, as in decoding with a cache of keys and values.

Keys and values are read once for all query rows that share a key head, a vector of a key's numbers at a time. Splits of
the keys are independent units, merged by their log-sum-exp.

Letters in the comments: r query rows of one key head (its query heads times their queries), c keys of a block.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from headwise.attention.compiled.engine import SPLIT_KEYS
from headwise.attention.compiled.kernels import _key_range, _rule_types, _start, _step, _units
from headwise.attention.compiled.simd import (
    INDEX,
    compiled,
    fma,
    index,
    load_scalar,
    multiply,
    num_lanes,
    pointer,
    vector,
    vector_at,
)
from headwise.attention.compiled.vector_ops import exp2, maximum, not_finite, powers

__all__ = ["decode", "decode_types"]

_BLOCK = 128  # keys whose logits are computed before their values are read


def decode_types(real):
    """Signature of `decode`."""
    source, rows = types.Array(real, 4, "A", readonly=True), types.Array(real, 4, "C")
    partial = types.Array(real, 5, "C")
    return types.boolean(types.intp, types.intp, source, source, source, _rule_types(real), partial, rows, rows)


def decode(first, last, q, k, v, rule, o, top, total):
    """Units first … last: o (S, L, H, N, e), maximum and sum of exponentials (S, L, H, N) of each split of the keys.

    A unit is one split of the keys of one key head. Returns whether a number was met that is not finite.
    """
    heads, n, d = q.shape[1:]
    groups, m, e = v.shape[1:]
    splits, repeat = o.shape[0], heads // groups
    rows = repeat * n
    unit, sign = _units(rule, o)
    lane = num_lanes(o)
    queries, s, sums = np.empty(rows * d, o.dtype), np.empty(rows * _BLOCK, o.dtype), np.empty(rows * e, o.dtype)
    base, part, bad, ones = np.zeros(lane, o.dtype), np.zeros(lane, o.dtype), np.zeros(lane, o.dtype), unit / unit
    for work in range(first, last):
        item, g, split = work // (groups * splits), work // splits % groups, work % splits
        for row in range(rows):
            h, query = g * repeat + row // n, row % n
            for i in range(d):
                queries[row * d + i] = q[item, h, query, i] * sign
            top[split, item, h, query] = -np.inf
            total[split, item, h, query] = 0
        low, high = _key_range(rule, item, 0, n, m)
        low, high = max(low, split * SPLIT_KEYS), min(high, (split + 1) * SPLIT_KEYS)
        sums[:] = 0
        for at in range(low, high, _BLOCK):
            c = min(_BLOCK, high - at)
            vectors = (c + lane - 1) // lane
            _products(s, queries, k, item, g, at, rows, d, c)
            for row in range(rows):
                h, query = g * repeat + row // n, row % n
                logits = s[row * _BLOCK : (row + 1) * _BLOCK]
                logits[c:] = 0
                not_finite(logits, logits, bad, bad, ones, vectors, lane)
                _apply_rule(logits, rule, item, h, query, at, c)
                logits[c:] = -np.inf
                before = top[split, item, h, query]
                part[:] = before
                maximum(logits, logits, part, part, ones, vectors, lane)
                after = part.max()
                base[:] = after if after > -np.inf else 0
                part[:] = 0
                powers(logits, logits, base, part, unit, vectors, lane)
                shrink = exp2((before - base[0]) * unit)  # what was summed under the old maximum shrinks
                top[split, item, h, query] = after
                total[split, item, h, query] = total[split, item, h, query] * shrink + part.sum()
                if shrink != 1:
                    for i in range(row * e, row * e + e):
                        sums[i] *= shrink
            multiply(sums, 0, e, s, 0, _BLOCK, 1, pointer(v), _start(v, item, g, at), _step(v, 2), rows, e, c, True)
        not_finite(sums, sums, bad, bad, ones, rows * e // lane, lane)
        for row in range(rows):
            for i in range(e):
                o[split, item, g * repeat + row // n, row % n, i] = sums[row * e + i]
    return not (bad == 0).all()


@compiled
def _products(s, queries, k, item, g, at, rows, d, c):
    """Write the products q · k of a block of c keys into s (rows, _BLOCK)."""
    lane = num_lanes(s)
    vectors, step = d // lane, _step(k, 2)
    keys = pointer(k)
    row = 0
    while row < rows:
        count = 4 if rows - row >= 4 else 2 if rows - row >= 2 else 1
        key = 0
        while key < c:
            s0, k0 = row * _BLOCK + key, _start(k, item, g, at + key)
            if count == 4 and c - key >= 2:
                _dots_42(s, s0, _BLOCK, queries, row * d, d, keys, k0, step, vectors)
                key += 2
            elif count == 4:
                _dots_41(s, s0, _BLOCK, queries, row * d, d, keys, k0, step, vectors)
                key += 1
            elif count == 2 and c - key >= 4:
                _dots_24(s, s0, _BLOCK, queries, row * d, d, keys, k0, step, vectors)
                key += 4
            elif count == 2:
                _dots_21(s, s0, _BLOCK, queries, row * d, d, keys, k0, step, vectors)
                key += 1
            elif c - key >= 4:
                _dots_14(s, s0, _BLOCK, queries, row * d, d, keys, k0, step, vectors)
                key += 4
            else:
                _dots_11(s, s0, _BLOCK, queries, row * d, d, keys, k0, step, vectors)
                key += 1
        row += count
    for i in range(vectors * lane, d):  # what does not fill a vector
        for row in range(rows):
            for key in range(c):
                s[row * _BLOCK + key] += queries[row * d + i] * k[item, g, at + key, i]


@compiled
def _apply_rule(s, rule, item, h, query, at, c):
    """Softcap, bias and mask for the logits of one query and c keys."""
    mask, mask_item, bias, bias_item, _, offset, left, right, factor, cap, inverse_cap = rule
    if cap:
        size, inner, outer = s.dtype.type(abs(factor)), s.dtype.type(inverse_cap), s.dtype.type(cap)
        for i in range(c):
            s[i] = s.dtype.type(math.tanh(s[i] * size * inner)) * outer
    elif bias.size:
        size = s.dtype.type(abs(factor))
        for i in range(c):
            s[i] *= size
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


def _dots(rows, keys):
    """Products of `rows` queries with `keys` keys, a vector of numbers at a time; written to s."""

    @intrinsic
    def run(typing, s, s0, sr, q, q0, qr, k, k0, kr, vectors):
        n = types.intp
        signature = types.void(s, n, n, q, n, n, k, n, n, n)

        def generate(context, builder, signature, args):
            _, s0, sr, _, q0, qr, _, k0, kr, vectors = args
            s, q, k = (
                load_scalar(context, builder, signature.args[i], args[i], start)
                for i, start in ((0, s0), (3, q0), (6, k0))
            )
            kind = vector(context.get_value_type(signature.args[0].dtype))
            size = context.get_abi_sizeof(kind.element)
            cells = [(r, j) for r in range(rows) for j in range(keys)]
            sums = [cgutils.alloca_once_value(builder, ir.Constant(kind, None)) for _ in cells]
            with cgutils.for_range(builder, vectors, intp=INDEX) as step:
                at = builder.mul(step.index, index(kind.count))

                def load(base, stride, i):
                    offset = builder.add(builder.mul(stride, index(i)), at)
                    return builder.load(vector_at(builder, kind, base, offset), align=size)

                left, right = [load(q, qr, r) for r in range(rows)], [load(k, kr, j) for j in range(keys)]
                for (r, j), cell in zip(cells, sums, strict=True):
                    builder.store(fma(builder, kind, left[r], right[j], builder.load(cell)), cell)
            for (r, j), cell in zip(cells, sums, strict=True):
                where = builder.gep(s, [builder.add(builder.mul(sr, index(r)), index(j))])
                builder.store(_horizontal_sum(builder, kind, builder.load(cell)), where)
            return context.get_dummy_value()

        return signature, generate

    return run


def _horizontal_sum(builder, kind, value):
    """Sum of a vector's lanes, halving it until one is left."""
    width = kind.count
    while width > 1:
        width //= 2
        integer = ir.IntType(32)
        halves = [
            ir.Constant(ir.VectorType(integer, width), [ir.Constant(integer, i + start) for i in range(width)])
            for start in (0, width)
        ]
        none = ir.Constant(value.type, ir.Undefined)
        low, high = (builder.shuffle_vector(value, none, half) for half in halves)
        value = builder.fadd(low, high)
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))


_dots_42, _dots_41, _dots_24, _dots_21, _dots_14, _dots_11 = (
    _dots(rows, keys) for rows, keys in ((4, 2), (4, 1), (2, 4), (2, 1), (1, 4), (1, 1))
)
