# mypy: ignore-errors
"""Vector operations on a tile between its matrix products: powers of two, maxima, transposition. For compiled code."""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.polynomial.chebyshev import cheb2poly, chebinterpolate

from headwise.attention.compiled.simd import INDEX, broadcast, compiled, fma, index, load_scalar, vector, vector_at

_TOGETHER = 4  # vectors of columns

# Polynomials of 2^r on |r| ≤ ½, with relative errors of 3e-9 and 4e-18: through Chebyshev's points, and Taylor's.
_COEFFICIENTS = {
    32: cheb2poly(chebinterpolate(lambda x: 2 ** (x / 2), 6)) * 2.0 ** np.arange(7),
    64: [math.log(2) ** i / math.factorial(i) for i in range(14)],
}


def _constant(kind, value):
    """A constant of a scalar kind, or of a vector kind in every lane."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [_constant(kind.element, value)] * kind.count)
    return ir.Constant(kind, float(np.float32(value)) if isinstance(kind, ir.FloatType) else value)


def _exp2(builder, kind, xs):
    """2^x to rounding of each x up to the largest exponent; 0 from the smallest one down, and for −inf; NaN for NaN.

    x = n + r with whole n and |r| ≤ ½. Adding 1.5 · 2^(mantissa bits) rounds x to n and leaves n in the lowest bits,
    from where it is shifted into the exponent; the smallest n gives an exponent of zero, which is the number 0.
    Each step is done for all x, since every step of one x waits for the one before.
    """
    single = isinstance(getattr(kind, "element", kind), ir.FloatType)
    bits, mantissa, bias = (32, 23, 127) if single else (64, 52, 1023)
    whole = ir.VectorType(ir.IntType(bits), kind.count) if isinstance(kind, ir.VectorType) else ir.IntType(bits)
    smallest, magic = _constant(kind, -bias), _constant(kind, 1.5 * 2.0**mantissa + bias)
    xs = [builder.select(builder.fcmp_ordered("<", x, smallest), smallest, x) for x in xs]
    rounded = [builder.fadd(x, magic) for x in xs]
    whole_parts = [builder.fsub(number, magic) for number in rounded]
    rests = [builder.fsub(x, n) for x, n in zip(xs, whole_parts, strict=True)]
    *lower, highest = (_constant(kind, c) for c in _COEFFICIENTS[bits])
    values = [highest] * len(xs)
    for coefficient in reversed(lower):
        values = [fma(builder, kind, value, r, coefficient) for value, r in zip(values, rests, strict=True)]
    exponents = [builder.shl(builder.bitcast(number, whole), _constant(whole, mantissa)) for number in rounded]
    return [builder.fmul(value, builder.bitcast(n, kind)) for value, n in zip(values, exponents, strict=True)]


@intrinsic
def exp2(typing, x):
    """2^x of one number, as in `powers`."""

    def generate(context, builder, signature, args):
        return _exp2(builder, context.get_value_type(signature.args[0]), [args[0]])[0]

    return x(x), generate


def _down(step, reads=""):
    """A pass down the columns of a tile a (rows, width), some vectors of columns at a time, with a running y (width,).

    ``step(builder, kind, unit, xs, ys, values, others)`` gets lists of vectors side by side, those of x, y, a and b,
    and gives the new a and y, or None for what stays; x (width,) belongs to the column. With reads="tile", b (rows,
    width) has the shape of a. With reads="bits", b (rows,) are words whose bits belong to the columns, and `step` gets
    those of its lanes.
    """

    @intrinsic
    def run(typing, a, b, x, y, unit, rows, width):
        signature = types.void(a, b, x, y, a.dtype, types.intp, types.intp)

        def generate(context, builder, signature, args):
            unit, rows, width = args[4:]
            kind = vector(context.get_value_type(signature.args[0].dtype))
            size, lanes = context.get_abi_sizeof(kind.element), kind.count
            tile, second, column, result = (
                load_scalar(context, builder, signature.args[i], args[i], index(0)) for i in range(4)
            )
            unit = broadcast(builder, kind, unit)

            def load(base, offset):
                return builder.load(vector_at(builder, kind, base, offset), align=size)

            def strip(j, count):
                """Columns j … j + count · lanes, whose vectors take turns, so that none waits for its own result."""
                places = [builder.add(j, index(i * lanes)) for i in range(count)]
                across = [load(column, place) for place in places]
                running = [cgutils.alloca_once(builder, kind) for _ in places]
                for cell, place in zip(running, places, strict=True):
                    builder.store(load(result, place), cell)
                with cgutils.for_range(builder, rows, intp=INDEX) as row:
                    start = builder.mul(row.index, width)
                    here = [builder.add(start, place) for place in places]
                    others = None
                    if reads == "tile":
                        others = [load(second, offset) for offset in here]
                    elif reads == "bits":
                        word, few = builder.load(builder.gep(second, [row.index])), ir.IntType(lanes)
                        bits = [builder.trunc(builder.lshr(word, place), few) for place in places]
                        others = [builder.bitcast(b, ir.VectorType(ir.IntType(1), lanes)) for b in bits]
                    values, ys = [load(tile, offset) for offset in here], [builder.load(cell) for cell in running]
                    new, after = step(builder, kind, unit, across, ys, values, others)
                    for value, offset in zip(new or [], here, strict=False):
                        builder.store(value, vector_at(builder, kind, tile, offset), align=size)
                    for value, cell in zip(after or [], running, strict=False):
                        builder.store(value, cell)
                for cell, place in zip(running, places, strict=True):
                    builder.store(builder.load(cell), vector_at(builder, kind, result, place), align=size)

            many = index(_TOGETHER * lanes)
            whole = builder.mul(builder.sdiv(width, many), many)
            with cgutils.for_range_slice(builder, index(0), whole, many, INDEX) as (j, _):
                strip(j, _TOGETHER)
            with cgutils.for_range_slice(builder, whole, width, index(lanes), INDEX) as (j, _):
                strip(j, 1)
            return context.get_dummy_value()

        return signature, generate

    return run


def _maximum(builder, kind, unit, xs, ys, values, others):
    pairs = zip(values, ys, strict=True)
    return None, [builder.select(builder.fcmp_ordered(">", a, y), a, y) for a, y in pairs]


def _not_finite(builder, kind, unit, xs, ys, values, others):
    zero = _constant(kind, 0.0)
    return None, [fma(builder, kind, a, zero, y) for a, y in zip(values, ys, strict=True)]


def _powers(builder, kind, unit, xs, ys, values, others):
    differences = [builder.fsub(a, x) for a, x in zip(values, xs, strict=True)]
    new = _exp2(builder, kind, [builder.fmul(difference, unit) for difference in differences])
    return new, [builder.fadd(y, u) for y, u in zip(ys, new, strict=True)]


def _scale(builder, kind, unit, xs, ys, values, others):
    return [builder.fmul(a, x) for a, x in zip(values, xs, strict=True)], None


def _softmax_backward(builder, kind, unit, xs, ys, values, others):
    return [builder.fmul(b, builder.fsub(a, x)) for a, b, x in zip(values, others, xs, strict=True)], None


def _hide_maximum(builder, kind, unit, xs, ys, values, others):
    hidden = _constant(kind, -math.inf)
    new = [builder.select(bits, a, hidden) for bits, a in zip(others, values, strict=True)]
    return new, _maximum(builder, kind, unit, xs, ys, new, None)[1]


hide_maximum = _down(_hide_maximum, reads="bits")  # a = −inf where its bit of b is 0; y = max(y, a)
maximum = _down(_maximum)  # y = max(y, a)
not_finite = _down(_not_finite)  # y becomes NaN where a number of the column is not finite
powers = _down(_powers)  # a = 2^((a − x) · unit), and y += a; the difference first, so that large a do not overflow
scale = _down(_scale)  # a = a · x
softmax_backward = _down(_softmax_backward, reads="tile")  # a = b · (a − x)


def _reduce(name, *first):
    """A number from the lanes of an array's first vector, by an instruction of LLVM."""

    @intrinsic
    def run(typing, a):
        def generate(context, builder, signature, args):
            data = load_scalar(context, builder, signature.args[0], args[0], index(0))
            kind = vector(context.get_value_type(signature.args[0].dtype))
            value = builder.load(vector_at(builder, kind, data, index(0)), align=context.get_abi_sizeof(kind.element))
            start = [ir.Constant(kind.element, x) for x in first]
            function = ir.FunctionType(kind.element, [kind.element] * len(start) + [kind])
            bits = 32 if isinstance(kind.element, ir.FloatType) else 64
            reduce = cgutils.get_or_insert_function(builder.module, function, f"{name}.v{kind.count}f{bits}")
            return builder.call(reduce, [*start, value], fastmath=("reassoc",))

        return a.dtype(a), generate

    return run


lanes_max = _reduce("llvm.vector.reduce.fmax")
lanes_sum = _reduce("llvm.vector.reduce.fadd", -0.0)


@intrinsic
def _transpose_square(typing, a, a0, ar, b, b0, br):
    """Write a square of as many rows and columns as a vector has lanes, transposed, from a to b.

    Rows i and i + s exchange the halves that lie on the wrong side, for s = 1, 2, 4, …
    """
    n = types.intp
    signature = types.void(a, n, n, b, n, n)

    def generate(context, builder, signature, args):
        _, a0, ar, _, b0, br = args
        source = load_scalar(context, builder, signature.args[0], args[0], a0)
        target = load_scalar(context, builder, signature.args[3], args[3], b0)
        kind = vector(context.get_value_type(signature.args[0].dtype))
        size, lanes = context.get_abi_sizeof(kind.element), kind.count
        rows = [
            builder.load(vector_at(builder, kind, source, builder.mul(ar, index(i))), align=size) for i in range(lanes)
        ]
        s = 1
        while s < lanes:
            upper = [i + lanes - s if i & s else i for i in range(lanes)]
            lower = [i + lanes if i & s else i + s for i in range(lanes)]
            for i in range(lanes):
                if not i & s:
                    pair = rows[i], rows[i + s]
                    rows[i], rows[i + s] = (builder.shuffle_vector(*pair, _lanes(order)) for order in (upper, lower))
            s *= 2
        for i, row in enumerate(rows):
            builder.store(row, vector_at(builder, kind, target, builder.mul(br, index(i))), align=size)
        return context.get_dummy_value()

    return signature, generate


def _lanes(order):
    integer = ir.IntType(32)
    return ir.Constant(ir.VectorType(integer, len(order)), [ir.Constant(integer, i) for i in order])


@intrinsic
def _copy(typing, a, i, b, j):
    """b[j] = a[i], by offsets in elements."""

    def generate(context, builder, signature, args):
        _, i, _, j = args
        number = builder.load(load_scalar(context, builder, signature.args[0], args[0], i))
        builder.store(number, load_scalar(context, builder, signature.args[2], args[2], j))
        return context.get_dummy_value()

    return types.void(a, types.intp, b, types.intp), generate


@compiled
def transpose(a, a0, ar, ac, rows, columns, b, b0, br, lanes):
    """b[j, i] = a[i, j] for i < rows, j < columns: a and b from `memory`, with offsets and strides."""
    if ar == 1 and ac != 1:
        for j in range(columns):
            for i in range(rows):
                _copy(a, a0 + i + j * ac, b, b0 + j * br + i)
        return
    whole_rows, whole_columns = (rows // lanes * lanes, columns // lanes * lanes) if ac == 1 else (0, 0)
    for i in range(0, whole_rows, lanes):
        for j in range(0, whole_columns, lanes):
            _transpose_square(a, a0 + i * ar + j, ar, b, b0 + j * br + i, br)
    for i in range(rows):
        for j in range(whole_columns if i < whole_rows else 0, columns):
            _copy(a, a0 + i * ar + j * ac, b, b0 + j * br + i)
