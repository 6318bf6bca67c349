"""The operations of `numpy_ops`, compiled: one pass over the arrays, in vectors of the machine's width."""

from __future__ import annotations

import numpy as np

from headwise.attention.compiled.team import share, shared_kernel
from headwise.jit import compile_kernel
from headwise.nn.ops import numpy_ops
from headwise.shapes import Array, IntArray

_MODULE = "headwise.nn.ops.kernels"
_LINEAR_COLUMNS, _BLOCK = 64, 1024  # as in `kernels`
# Rows of a unit of `kernels.linear`; more where the weight is laid out again for each of them.
_SHALLOW, _FEWEST_ROWS, _MOST_ROWS = 512, 96, 384
_PASSES = 8  # multiplications that take as long as a number of an activation or a normalisation
_VECTOR_BYTES = 64  # products are computed in full vectors of at most this width


def linear(x: Array, weight: Array, bias: Array, residual: Array | None = None) -> Array:
    """As `numpy_ops.linear`."""
    if not weight.dtype == bias.dtype == x.dtype:
        return numpy_ops.linear(x, weight, bias, residual)
    y = np.empty((len(x), len(weight)), x.dtype)
    added = np.empty((0, 0), x.dtype) if residual is None else np.ascontiguousarray(residual)
    block = _FEWEST_ROWS if x.shape[1] <= _SHALLOW else _MOST_ROWS
    units = -(-len(x) // block) * -(-len(weight) // _LINEAR_COLUMNS)
    _share("linear", units, x.size * len(weight), x, weight, bias, added, y, block)
    return y


def linear_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """As `numpy_ops.linear_backward`."""
    outputs, inputs = weight.shape
    if not _is_vectorizable(outputs, x.dtype):
        return numpy_ops.linear_backward(dy, x, weight)
    compiled_dx = _is_vectorizable(inputs, x.dtype)
    dx = np.empty(x.shape if compiled_dx else (0, 0), x.dtype)
    dweight, dbias = np.empty_like(weight), np.zeros(outputs, x.dtype)
    _call("linear_backward", dy, x, weight, dx, dweight, dbias)
    return dx if compiled_dx else dy @ weight, dweight, dbias


def layer_norm(x: Array, gain: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """As `numpy_ops.layer_norm`."""
    y, normalized, inv_std = np.empty_like(x), np.empty_like(x), np.empty((len(x), 1), x.dtype)
    _share("layer_norm", len(x), x.size * _PASSES, x, gain, bias, epsilon, y, normalized, inv_std)
    return y, normalized, inv_std


def layer_norm_backward(dy: Array, normalized: Array, inv_std: Array, gain: Array) -> tuple[Array, Array, Array]:
    """As `numpy_ops.layer_norm_backward`."""
    dx, dgain, dbias = np.empty_like(dy), np.zeros_like(gain), np.zeros_like(gain)
    _call("layer_norm_backward", dy, normalized, inv_std, gain, dx, dgain, dbias)
    return dx, dgain, dbias


def gelu(x: Array) -> tuple[Array, Array]:
    """As `numpy_ops.gelu`."""
    y, t = np.empty_like(x), np.empty_like(x)
    _share("gelu", -(-x.size // _BLOCK), x.size * _PASSES, x.reshape(-1), y.reshape(-1), t.reshape(-1))
    return y, t


def gelu_backward(dy: Array, x: Array, t: Array) -> Array:
    """As `numpy_ops.gelu_backward`."""
    dx = np.empty_like(x)
    _call("gelu_backward", dy.reshape(-1), x.reshape(-1), t.reshape(-1), dx.reshape(-1))
    return dx


def normal_gelu(x: Array) -> tuple[Array, Array]:
    """As `numpy_ops.normal_gelu`."""
    if x.dtype != np.float32:
        return numpy_ops.normal_gelu(x)
    y, phi = np.empty_like(x), np.empty_like(x)
    _share("normal_gelu", -(-x.size // _BLOCK), x.size * _PASSES, x.reshape(-1), y.reshape(-1), phi.reshape(-1))
    return y, phi


def cross_entropy(logits: Array, labels: IntArray) -> tuple[float, Array]:
    """As `numpy_ops.cross_entropy`."""
    p, losses = np.empty_like(logits), np.empty(len(logits), logits.dtype)
    _call("cross_entropy", logits, labels.astype(np.intp, copy=False), p, losses)
    return float(losses.mean()), p


def adamw(
    vector: Array, gradient: Array, mean: Array, square: Array, decay_mask: Array, constants: numpy_ops.AdamWConstants
) -> None:
    """As `numpy_ops.adamw`."""
    _call("adamw", vector, gradient, mean, square, decay_mask, constants)


def _share(name: str, units: int, work: float, first: Array, *rest: object) -> None:
    """Run a kernel on several threads, which take units of its work."""
    share(shared_kernel(_MODULE, name, first.dtype), units, work, first, *rest)


def _call(name: str, first: Array, *rest: object) -> None:
    compile_kernel(_MODULE, name, first.dtype)(first, *rest)


def _is_vectorizable(width: int, dtype: np.dtype) -> bool:
    return width * dtype.itemsize % _VECTOR_BYTES == 0
