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


def _exp2(builder, kind, x):
    """2^x to rounding, for x up to the largest exponent; 0 from the smallest one down, and for −inf; NaN for NaN.

    x = n + r with whole n and |r| ≤ ½. Adding 1.5 · 2^(mantissa bits) rounds x to n and leaves n in the lowest bits,
    from where it is shifted into the exponent; the smallest n gives an exponent of zero, which is the number 0.
    """
    single = isinstance(getattr(kind, "element", kind), ir.FloatType)
    bits, mantissa, bias = (32, 23, 127) if single else (64, 52, 1023)
    whole = ir.VectorType(ir.IntType(bits), kind.count) if isinstance(kind, ir.VectorType) else ir.IntType(bits)
    smallest, magic = _constant(kind, -bias), _constant(kind, 1.5 * 2.0**mantissa)
    x = builder.select(builder.fcmp_ordered("<", x, smallest), smallest, x)
    rounded = builder.fadd(x, magic)
    r = builder.fsub(x, builder.fsub(rounded, magic))
    *lower, value = (_constant(kind, c) for c in _COEFFICIENTS[bits])
    for coefficient in reversed(lower):
        value = fma(builder, kind, value, r, coefficient)
    n = builder.add(builder.bitcast(rounded, whole), _constant(whole, bias))
    return builder.fmul(value, builder.bitcast(builder.shl(n, _constant(whole, mantissa)), kind))


@intrinsic
def exp2(typing, x):
    """2^x of one number, as in `powers`."""

    def generate(context, builder, signature, args):
        return _exp2(builder, context.get_value_type(signature.args[0]), args[0])

    return x(x), generate


def _down(step, reads=""):
    """A pass down the columns of a tile a (rows, width), some vectors of columns at a time, with a running y (width,).

    ``step(builder, kind, unit, x, y, (a, b))`` gives the new a and y, or None for what stays; x (width,) belongs to the
    column. With reads="tile", b (rows, width) has the shape of a. With reads="bits", b (rows,) are words whose bits
    belong to the columns, and `step` gets those of its lanes.
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
                    word = builder.load(builder.gep(second, [row.index])) if reads == "bits" else None
                    for place, cell, x in zip(places, running, across, strict=True):
                        here = builder.add(start, place)
                        values = [load(tile, here)]
                        if reads == "tile":
                            values.append(load(second, here))
                        elif reads == "bits":
                            bits = builder.trunc(builder.lshr(word, place), ir.IntType(lanes))
                            values.append(builder.bitcast(bits, ir.VectorType(ir.IntType(1), lanes)))
                        new, after = step(builder, kind, unit, x, builder.load(cell), values)
                        if new is not None:
                            builder.store(new, vector_at(builder, kind, tile, here), align=size)
                        if after is not None:
                            builder.store(after, cell)
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


def _maximum(builder, kind, unit, x, y, values):
    return None, builder.select(builder.fcmp_ordered(">", values[0], y), values[0], y)


def _not_finite(builder, kind, unit, x, y, values):
    return None, fma(builder, kind, values[0], _constant(kind, 0.0), y)


def _powers(builder, kind, unit, x, y, values):
    u = _exp2(builder, kind, builder.fmul(builder.fsub(values[0], x), unit))
    return u, builder.fadd(y, u)


def _scale(builder, kind, unit, x, y, values):
    return builder.fmul(values[0], x), None


def _softmax_backward(builder, kind, unit, x, y, values):
    return builder.fmul(values[1], builder.fsub(values[0], x)), None


def _hide_maximum(builder, kind, unit, x, y, values):
    a = builder.select(values[1], values[0], _constant(kind, -math.inf))
    return a, _maximum(builder, kind, unit, x, y, [a])[1]


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
