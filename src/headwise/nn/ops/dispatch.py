"""Choose between compiled kernels and NumPy for an operation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol, cast

import numpy as np

from headwise.jit import numba_available
from headwise.nn.ops import numba_ops, numpy_ops
from headwise.parallel.threads import single_threaded_blas
from headwise.shapes import Array, IntArray

_LANES = 16  # multiplications at a time, about
_MIN_SIZE = 1 << 12  # below this the overhead of calling a compiled kernel exceeds NumPy's time


class Backend(Protocol):
    """The operations of the layers; `headwise.nn.ops.numpy_ops` defines each."""

    def linear(self, x: Array, weight: Array, bias: Array, residual: Array | None = None) -> Array:
        """Compute y = x Wᵀ + b + residual."""

    def linear_backward(self, dy: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
        """Gradients of x, W and b."""

    def layer_norm(self, x: Array, gain: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
        """Compute y, the normalized input, and 1 / std."""

    def layer_norm_backward(
        self, dy: Array, normalized: Array, inv_std: Array, gain: Array
    ) -> tuple[Array, Array, Array]:
        """Gradients of x, gain and bias."""

    def gelu(self, x: Array) -> tuple[Array, Array]:
        """Compute y and the tanh."""

    def gelu_backward(self, dy: Array, x: Array, t: Array) -> Array:
        """Gradient of x."""

    def normal_gelu(self, x: Array) -> tuple[Array, Array]:
        """Compute x Φ(x) and Φ(x)."""

    def cross_entropy(self, logits: Array, labels: IntArray) -> tuple[float, Array]:
        """Mean loss, and the probabilities."""

    def adamw(
        self,
        vector: Array,
        gradient: Array,
        mean: Array,
        square: Array,
        decay_mask: Array,
        constants: numpy_ops.AdamWConstants,
    ) -> None:
        """One step of AdamW, in place."""


def backend(x: Array, outputs: int = _LANES) -> Backend:
    """The operations for arrays like `x`, each number of which is used for `outputs` outputs.

    The choice depends only on sizes and the type of `x`, so that the same work gives the same bytes.
    """
    is_suitable = (
        x.size * outputs >= _MIN_SIZE * _LANES and x.dtype in (np.float32, np.float64) and x.flags.c_contiguous
    )
    return cast(Backend, numba_ops if is_suitable and numba_available() else numpy_ops)


@contextmanager
def kernel_threads() -> Iterator[None]:
    """Leave all cores to the compiled kernels, if there are any: BLAS's threads stay busy for 0.1 s after a product."""
    with single_threaded_blas() if numba_available() else nullcontext():
        yield
