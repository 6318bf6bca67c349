# mypy: ignore-errors
"""The operations of `numpy_ops` as loops that numba compiles, each in one pass over its arrays.

Sums over features are reassociated so that they vectorize: their order depends on the machine, not on the threads.
Letters: R rows, D and E features. ``f_types(real)`` is the signature of f for a type.
"""

import math

import numpy as np
from numba import njit, types

from headwise.attention.compiled.simd import multiply, num_lanes, pointer
from headwise.attention.compiled.tile import step_of
from headwise.attention.compiled.vector_ops import exp2, transpose
from headwise.attention.compiled.work import COUNTER, take

LINEAR_COLUMNS, BLOCK = 64, 1024  # of a unit of `linear`; numbers of one of the operations on single numbers
_DEPTH = 512  # so many columns of a weight, laid out for the product, stay in the second-level cache
_ROWS = 64  # rows whose part of a weight's gradient is computed at once

_C = math.sqrt(2 / math.pi)
_A = 0.044715
_LOG2E = math.log2(math.e)
_summed = njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})


def _arrays(real, *axes):
    return [types.Array(real, n, "C") for n in axes]


def _read(real, *axes):
    return [types.Array(real, n, "C", readonly=True) for n in axes]


def linear_types(real):
    """Signature of `linear`."""
    weight = types.Array(real, 2, "A", readonly=True)
    return types.void(COUNTER, *_read(real, 2), weight, *_read(real, 1, 2), *_arrays(real, 2), types.intp)


def linear(counter, x, weight, bias, residual, y, block):
    """Units of `counter`: y (R, E) = x (R, D) Wᵀ + bias + residual, W (E, D); an empty residual is ignored.

    A unit is `LINEAR_COLUMNS` columns of a block of rows, computed in a memory of its own, where they fill vectors.
    W may have any strides.
    """
    rows, depth = x.shape
    width, down, along = bias.size, step_of(weight, 0), step_of(weight, 1)
    row_blocks, lanes = (rows + block - 1) // block, num_lanes(x)
    across, laid_out = np.zeros((min(depth, _DEPTH), LINEAR_COLUMNS), x.dtype), -1
    product = np.empty((block, LINEAR_COLUMNS), x.dtype)
    first, last = take(counter)
    while first < last:
        for unit in range(first, last):
            column, row = unit // row_blocks * LINEAR_COLUMNS, unit % row_blocks * block
            columns, count = min(LINEAR_COLUMNS, width - column), min(block, rows - row)
            padded = (columns + lanes - 1) // lanes * lanes
            for k in range(0, depth, _DEPTH):
                part = min(_DEPTH, depth - k)
                if column != laid_out or depth > _DEPTH:
                    transpose(
                        *(pointer(weight), column * down + k * along, down, along, columns, part),
                        *(pointer(across), 0, LINEAR_COLUMNS, lanes),
                    )
                multiply(
                    *(product, 0, LINEAR_COLUMNS, x, row * depth + k, depth, 1),
                    *(across, 0, LINEAR_COLUMNS, count, padded, part, k > 0),
                )
            laid_out = column
            start = bias[column : column + columns]
            for r in range(count):
                out, result = y[row + r, column : column + columns], product[r]
                if residual.size:
                    added = residual[row + r, column : column + columns]
                    for i in range(columns):
                        out[i] = result[i] + start[i] + added[i]
                else:
                    for i in range(columns):
                        out[i] = result[i] + start[i]
        first, last = take(counter)


def linear_backward_types(real):
    """Signature of `linear_backward`."""
    return types.void(*_read(real, 2, 2, 2), *_arrays(real, 2, 2, 1))


def linear_backward(dy, x, weight, dx, dweight, dbias):
    """Compute dx (R, D) = dy (R, E) W (E, D); dW = dyᵀ x; dbias = Σ dy. An empty dx is ignored."""
    rows, width = dy.shape
    depth = x.shape[1]
    dacross = np.empty((depth, width), x.dtype)
    if dx.size:
        multiply(dx, 0, depth, dy, 0, width, 1, weight, 0, depth, rows, depth, width, False)
    for r in range(0, rows, _ROWS):  # so few that they stay in the first-level cache while all features meet
        count = min(_ROWS, rows - r)
        multiply(dacross, 0, width, x, r * depth, 1, depth, dy, r * width, width, depth, width, count, r > 0)
    transpose(pointer(dacross), 0, width, 1, depth, width, pointer(dweight), 0, depth, num_lanes(x))
    for r in range(rows):
        for i in range(width):
            dbias[i] += dy[r, i]


@_summed
def _sum(a, a0, count):
    total = a[a0] - a[a0]
    for i in range(count):
        total += a[a0 + i]
    return total


@_summed
def _dot(a, b, a0, count):
    """The product of two rows that begin at the same offset."""
    total = a[a0] - a[a0]
    for i in range(count):
        total += a[a0 + i] * b[a0 + i]
    return total


def layer_norm_types(real):
    """Signature of `layer_norm`."""
    return types.void(COUNTER, *_read(real, 2, 1, 1), types.float64, *_arrays(real, 2, 2, 2))


def layer_norm(counter, x, gain, bias, epsilon, y, normal, inverse):
    """Units of `counter`, rows of y = g n + b, n = (x − mean) / std."""
    width, one, small = x.shape[1], x.dtype.type(1), x.dtype.type(epsilon)
    share = one / x.dtype.type(width)  # a division by an integer would be one in float64, and so would all after it
    source, centred, out, g, b = pointer(x), pointer(normal), pointer(y), pointer(gain), pointer(bias)
    first, last = take(counter)
    while first < last:
        for r in range(first, last):
            row = r * width
            mean = _sum(source, row, width) * share
            for i in range(width):
                centred[row + i] = source[row + i] - mean
            scale = one / math.sqrt(_dot(centred, centred, row, width) * share + small)
            inverse[r, 0] = scale
            for i in range(width):
                centred[row + i] *= scale
                out[row + i] = centred[row + i] * g[i] + b[i]
        first, last = take(counter)


def layer_norm_backward_types(real):
    """Signature of `layer_norm_backward`."""
    return types.void(*_read(real, 2, 2, 2, 1), *_arrays(real, 2, 1, 1))


def layer_norm_backward(dy, normal, inverse, gain, dx, dgain, dbias):
    """Gradients of x, g and b; dgain and dbias must be zero at the start."""
    rows, width = dy.shape
    share = dy.dtype.type(1) / dy.dtype.type(width)
    for r in range(rows):
        for i in range(width):
            dgain[i] += dy[r, i] * normal[r, i]
            dbias[i] += dy[r, i]
            dx[r, i] = dy[r, i] * gain[i]
        along = _dot(pointer(dx), pointer(normal), r * width, width) * share
        mean = _sum(pointer(dx), r * width, width) * share
        scale = inverse[r, 0]
        for i in range(width):
            dx[r, i] = (dx[r, i] - mean - normal[r, i] * along) * scale


def gelu_types(real):
    """Signature of `gelu`."""
    return types.void(COUNTER, *_read(real, 1), *_arrays(real, 1, 1))


def gelu(counter, x, y, t):
    """Blocks of `counter`: y = x/2 · (1 + t), t = tanh(c (x + a x³)), where tanh u = 1 − 2 / (e^(2u) + 1)."""
    one = x.dtype.type(1)
    half, two, most = x.dtype.type(0.5), x.dtype.type(2), x.dtype.type(64)
    linear, cubic = x.dtype.type(2 * _LOG2E * _C), x.dtype.type(2 * _LOG2E * _C * _A)
    first, last = take(counter)
    while first < last:
        part = slice(first * BLOCK, last * BLOCK)
        a, b, c = x[part], y[part], t[part]
        for i in range(a.size):
            power = a[i] * (linear + cubic * a[i] * a[i])  # of two; from 64 on tanh is 1 in either type
            tanh = one - two / (exp2(min(power, most)) + one)
            c[i] = tanh
            b[i] = half * a[i] * (one + tanh)
        first, last = take(counter)


def _tail_coefficients(terms=12, largest=9.0, floor=1e-4):
    """Coefficients of t, t², … in −log2(2 Φ(−t)), 0 ≤ t ≤ 9, fitted where Φ(−t) itself has the least error."""
    t = largest * (1 - np.cos(np.linspace(0, np.pi, 401)[1:])) / 2
    tail = np.array([math.erfc(value / math.sqrt(2)) / 2 for value in t])
    weights = tail * np.maximum(1, t) + floor
    powers = (t[:, None] / largest) ** np.arange(1, terms + 1)
    fitted = np.linalg.lstsq(powers * weights[:, None], -np.log2(2 * tail) * weights, rcond=None)[0]
    return tuple(float(c) for c in (fitted / largest ** np.arange(1, terms + 1)).astype(np.float32))


_TAIL = _tail_coefficients()


def normal_gelu_types(real):
    """Signature of `normal_gelu`."""
    return types.void(COUNTER, *_read(real, 1), *_arrays(real, 1, 1))


def normal_gelu(counter, x, y, phi):
    """Blocks of `counter`: y = x Φ(x) and Φ(x) in float32, to 7e-8.

    Φ(−t) = 2^−(1 + a polynomial in t), and 0 from t = 9 on.
    """
    zero, half, one, largest = x.dtype.type(0), x.dtype.type(0.5), x.dtype.type(1), x.dtype.type(9)
    first, last = take(counter)
    while first < last:
        part = slice(first * BLOCK, last * BLOCK)
        a, b, c = x[part], y[part], phi[part]
        for i in range(a.size):
            t = abs(a[i])
            power = zero
            for k in range(len(_TAIL) - 1, -1, -1):
                power = (power + a.dtype.type(_TAIL[k])) * t
            tail = zero if t > largest else half * exp2(-power)
            c[i] = tail if a[i] < zero else one - tail
            b[i] = a[i] * c[i]
        first, last = take(counter)


def gelu_backward_types(real):
    """Signature of `gelu_backward`."""
    return types.void(*_read(real, 1, 1, 1), *_arrays(real, 1))


def gelu_backward(dy, x, t, dx):
    """Compute dx = dy/2 · ((1 + t) + x (1 − t²) c (1 + 3a x²))."""
    one, half, c, a = x.dtype.type(1), x.dtype.type(0.5), x.dtype.type(_C), x.dtype.type(3 * _A * _C)
    for i in range(x.size):
        inner = x[i] * (one - t[i] * t[i]) * (c + a * x[i] * x[i])
        dx[i] = half * dy[i] * (one + t[i] + inner)


def cross_entropy_types(real):
    """Signature of `cross_entropy`."""
    return types.void(*_read(real, 2), types.Array(types.intp, 1, "C", readonly=True), *_arrays(real, 2, 1))


def cross_entropy(logits, labels, p, losses):
    """Compute p = softmax(logits) row by row, and each row's −log p[label]."""
    rows, classes = logits.shape
    log2e = logits.dtype.type(_LOG2E)
    for r in range(rows):
        top = logits[r, 0]
        for i in range(classes):
            top = max(top, logits[r, i])
        total = top - top
        for i in range(classes):
            p[r, i] = exp2((logits[r, i] - top) * log2e)
            total += p[r, i]
        for i in range(classes):
            p[r, i] /= total
        losses[r] = math.log(total) - (logits[r, labels[r]] - top)


def adamw_types(real):
    """Signature of `adamw`."""
    return types.void(
        *_arrays(real, 1), *_read(real, 1), *_arrays(real, 1, 1), *_read(real, 1), types.UniTuple(types.float64, 6)
    )


def adamw(vector, gradient, mean, square, decays, constants):
    """One step in place; constants as in `numpy_ops.adamw`."""
    real = vector.dtype.type
    beta_1, beta_2, epsilon, rate, decay, step = constants
    b1, b2, c1, c2 = real(beta_1), real(beta_2), real(1 - beta_1), real(1 - beta_2)
    corrected, small = real(1 / math.sqrt(1 - beta_2**step)), real(epsilon)
    length, shrink, one = real(rate / (1 - beta_1**step)), real(decay), real(1)
    for i in range(vector.size):
        g = gradient[i]
        mean[i] = b1 * mean[i] + c1 * g
        square[i] = b2 * square[i] + c2 * g * g
        change = length * mean[i] / (math.sqrt(square[i]) * corrected + small)
        vector[i] = vector[i] * (one - shrink * decays[i]) - change
