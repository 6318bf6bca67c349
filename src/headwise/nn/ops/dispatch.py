"""Which implementation of the layers' passes to use: compiled where it pays and numba is there, else NumPy's.

The choice depends on the size and type of the array alone, so the same work gives the same bytes.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from headwise.jit import numba_available
from headwise.nn.ops import numba_ops as fused
from headwise.nn.ops import numpy_ops as plain
from headwise.shapes import Array

__all__ = ["backend"]

_WORTH_IT = 1 << 12  # numbers; below this NumPy's call is over before numba's has begun


def backend(x: Array) -> ModuleType:
    """`fused` or `plain`, which hold the same functions."""
    fits = x.size >= _WORTH_IT and x.dtype in (np.float32, np.float64) and x.flags.c_contiguous
    return fused if fits and numba_available() else plain
