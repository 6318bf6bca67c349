# mypy: ignore-errors
"""Matrix products in the cache and nothing else, compiled: what the machine can do at most."""

import numpy as np
from numba import types

from headwise.attention.compiled.simd import multiply, pointer


def multiply_repeatedly_types(real):
    """Signature of `multiply_repeatedly`; the type of the numbers is told by what it returns."""
    return real(types.intp)


def multiply_repeatedly(times):
    """Multiply (60, 64) by (64, 64) so many times, in the engine's own blocks."""
    a, b, c = np.ones(60 * 64, np.float32), np.ones(64 * 64 + 16, np.float32), np.ones(60 * 64 + 16, np.float32)
    b0, c0 = -b.ctypes.data % 64 // 4, -c.ctypes.data % 64 // 4
    for _ in range(times):
        multiply(c, c0, 64, pointer(a), 0, 64, 1, b, b0, 64, 60, 64, 64, False)
    return c[c0]
