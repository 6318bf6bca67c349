# mypy: ignore-errors
"""Products of a few queries with keys, read along a key's numbers, in the type in which they are stored.

A row of d numbers is read as vectors that begin at 0, `lane`, 2 `lane`, …, the last at d − `lane`, so that it may
overlap the one before.
"""

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from headwise.attention.compiled.simd import (
    INDEX,
    LINE_VECTORS,
    compiled,
    fma,
    index,
    load_scalar,
    load_vector,
    prefetch_vector,
    vector,
    vector_at,
)

_LINES = 4  # of the cache that one turn of a loop reads


def dots(rows):
    """Products of `rows` queries with as many keys as fill a vector with them; written to s, a row of s for each query.

    Query rows are padded to `qr` numbers, zero where the last vector overlaps the one before.
    """

    @intrinsic
    def run(typing, s, s0, sr, q, q0, qr, k, k0, kr, d, ahead):
        n = types.intp
        signature = types.void(s, n, n, q, n, n, k, n, n, n, n)

        def generate(context, builder, signature, args):
            _, s0, sr, _, q0, qr, _, k0, kr, d, ahead = args
            s, q, k = (
                load_scalar(context, builder, signature.args[i], args[i], start)
                for i, start in ((0, s0), (3, q0), (6, k0))
            )
            kind = vector(context.get_value_type(signature.args[0].dtype))
            slots = min(4 if rows == 3 else rows, kind.count)
            keys = kind.count // slots
            zero = ir.Constant(kind, None)
            sums = [
                cgutils.alloca_once_value(builder, zero)
                for _ in range(kind.count)  # row r and key j: r · keys + j
            ]
            # Near the order of memory, which the processor then reads ahead; some keys share what is loaded of queries.
            together = 4 if rows <= 2 else 2
            for first in range(0, keys, together):

                def multiply(numbers, first=first):
                    for i, (at, padded) in enumerate(numbers):
                        left = [
                            load_vector(
                                builder, kind, signature.args[3], q, builder.add(builder.mul(qr, index(r)), padded)
                            )
                            for r in range(rows)
                        ]
                        for j in range(first, min(first + together, keys)):
                            offset = builder.add(builder.mul(kr, index(j)), at)
                            right = load_vector(builder, kind, signature.args[6], k, offset)
                            if i % LINE_VECTORS == 0:
                                prefetch_vector(context, builder, k, builder.add(offset, ahead))
                            for r in range(min(rows, slots)):
                                cell = sums[r * keys + j]
                                builder.store(fma(builder, kind, left[r], right, builder.load(cell)), cell)

                _along_row(builder, kind, d, multiply)
            result = _sum_lanes(builder, kind, [builder.load(cell) for cell in sums])
            size = context.get_abi_sizeof(kind.element)
            short = ir.VectorType(kind.element, keys)
            for r in range(min(rows, slots)):
                chosen = [ir.Constant(ir.IntType(32), r * keys + j) for j in range(keys)]
                part = builder.shuffle_vector(result, result, ir.Constant(ir.VectorType(ir.IntType(32), keys), chosen))
                builder.store(part, vector_at(builder, short, s, builder.mul(sr, index(r))), align=size)
            return context.get_dummy_value()

        return signature, generate

    return run


@compiled
def padded_width(d, lane):
    """Numbers of a query row that is padded with zeros to whole lines of the cache."""
    line = lane * LINE_VECTORS
    return (d + line - 1) // line * line


def _along_row(builder, kind, d, use):
    """Loops over a row of d numbers, several lines of the cache at a time and then one.

    They give `use` the vectors of these lines: offset in the row, and in a padded row. What lies behind the row reads
    its last vector, where the padded row has zeros.
    """
    lanes, line = kind.count, kind.count * LINE_VECTORS
    many, latest = line * _LINES, builder.sub(d, index(lanes))
    whole = builder.mul(builder.sdiv(d, index(many)), index(many))
    with cgutils.for_range_slice(builder, index(0), whole, index(many), intp=INDEX, inc=True) as (start, _):
        use([(at, at) for at in (builder.add(start, index(i)) for i in range(0, many, lanes))])
    with cgutils.for_range_slice(builder, whole, d, index(line), intp=INDEX, inc=True) as (start, _):
        padded = [builder.add(start, index(i)) for i in range(0, line, lanes)]
        use([(builder.select(builder.icmp_signed("<", at, latest), at, latest), at) for at in padded])


@intrinsic
def dot(typing, s, s0, q, q0, k, k0, d):
    """s[s0] = q · k, of one padded query and one key."""
    n = types.intp

    def generate(context, builder, signature, args):
        _, s0, _, q0, _, k0, d = args
        s, q, k = (
            load_scalar(context, builder, signature.args[i], args[i], start) for i, start in ((0, s0), (2, q0), (4, k0))
        )
        kind = vector(context.get_value_type(signature.args[0].dtype))
        total = cgutils.alloca_once_value(builder, ir.Constant(kind, None))

        def multiply(numbers):
            for at, padded in numbers:
                left = load_vector(builder, kind, signature.args[2], q, padded)
                right = load_vector(builder, kind, signature.args[4], k, at)
                builder.store(fma(builder, kind, left, right, builder.load(total)), total)

        _along_row(builder, kind, d, multiply)
        sums = _sum_lanes(builder, kind, [builder.load(total)] * kind.count)
        builder.store(builder.extract_element(sums, ir.Constant(ir.IntType(32), 0)), s)
        return context.get_dummy_value()

    return types.void(s, n, q, n, k, n, n), generate


def _sum_lanes(builder, kind, vectors):
    """A vector whose lane i is the sum of the lanes of ``vectors[i]``.

    Two vectors become one of half sums, first within the 16 bytes that a shuffle exchanges at once, then between them.
    """
    lanes, block = kind.count, 4 if isinstance(kind.element, ir.FloatType) else 2
    blocks = lanes // block
    steps = [(1, block)] * int(math.log2(block)) + [(block, lanes)] * int(math.log2(blocks))

    def halves(step):
        size, within = step
        per = within // size // 2
        chosen = []
        for parity in (0, 1):
            order = []
            for start in range(0, lanes, within):
                for side in (0, lanes):
                    order += [side + start + (2 * i + parity) * size + j for i in range(per) for j in range(size)]
            chosen.append(order)
        return chosen

    def combine(values, add):
        for step in steps:
            even, odd = halves(step)
            values = [add(a, b, even, odd) for a, b in zip(values[::2], values[1::2], strict=True)]
        return values[0]

    order = combine([[i] * lanes for i in range(lanes)], lambda a, b, even, odd: [(a + b)[i] for i in even])
    placed = [None] * lanes
    for lane, slot in enumerate(order):
        placed[slot] = vectors[lane]

    def add(a, b, even, odd):
        integer = ir.IntType(32)
        masks = [ir.Constant(ir.VectorType(integer, lanes), [ir.Constant(integer, i) for i in o]) for o in (even, odd)]
        return builder.fadd(*(builder.shuffle_vector(a, b, mask) for mask in masks))

    return combine(placed, add)
