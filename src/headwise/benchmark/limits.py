"""What bounds attention on this machine: the rate of matrix products, and that of reading memory."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from headwise import jit
from headwise.jit import numba_available
from headwise.parallel.threads import num_threads, parallel_for, single_threaded_blas
from headwise.runtime import blas_name, cpu_name
from headwise.timing import time_interleaved

# The rate of products is measured with tasks that multiply the same matrices repeatedly. BLAS gets larger
# tiles, which fit the second-level cache; the engine's own products get tiles for the first-level cache.
_PIECES, _TIMES = 8, 2000
_BLAS_TIMES, _BLAS_SHAPE = 16, (1024, 256, 512)
_READ = 2**25  # numbers that each piece reads: together they are larger than any cache


@dataclass(frozen=True)
class Machine:
    """The machine of a benchmark, and its speed at matrix products and at reading memory.

    Attributes
    ----------
    cpu : str
    kind : str
        The vectors that kernels are compiled for.
    cores : int
        Threads that every implementation may use.
    libraries : dict of str to str
        Versions, and the BLAS with the processor that it detects.
    blas, products : float
        Operations per second of matrix products in the cache, on all cores: by NumPy's BLAS, and by the faster of it
        and the compiled engine's own.
    fastest : str
        Which one is faster, "blas" or "compiled".
    bandwidth : float
        Bytes per second that all cores read from memory.
    """

    cpu: str
    kind: str
    cores: int
    libraries: Mapping[str, str]
    blas: float
    products: float
    fastest: str
    bandwidth: float


def machine() -> Machine:
    """Describe this machine: its processor, its libraries, how fast it multiplies matrices and reads memory."""
    implementations = matrix_products()
    numbers = [np.ones(_READ, np.float32) for _ in range(num_threads())]

    def read() -> None:
        with single_threaded_blas():
            parallel_for(lambda i: np.dot(numbers[i], numbers[i]), len(numbers))

    calls = {name: call for name, (call, _) in implementations.items()}
    medians, _ = time_interleaved({**calls, "read": read})
    rates = {name: operations / medians[name] for name, (_, operations) in implementations.items()}
    return Machine(
        cpu_name(),
        _kind(),
        num_threads(),
        _libraries(),
        rates["blas"],
        max(rates.values()),
        max(rates, key=rates.__getitem__),
        len(numbers) * numbers[0].nbytes / medians["read"],
    )


def matrix_products() -> dict[str, tuple[Callable[[], object], float]]:
    """Callables that multiply matrices on all cores, with their numbers of operations."""
    products: dict[str, tuple[Callable[[], object], float]] = {
        "blas": (_blas_products, 2.0 * _PIECES * _BLAS_TIMES * math.prod(_BLAS_SHAPE))
    }
    if numba_available():
        kernel = jit.compile_kernel("headwise.attention.compiled.peak", "multiply_repeatedly", np.dtype(np.float32))
        products["compiled"] = (
            lambda: parallel_for(lambda _: kernel(_TIMES), _PIECES),
            2.0 * _PIECES * _TIMES * 60 * 64 * 64,
        )
    return products


def _blas_products() -> None:
    m, k, n = _BLAS_SHAPE
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)

    def multiply(_: int) -> None:
        out = np.empty((m, n), np.float32)
        for _ in range(_BLAS_TIMES):
            np.matmul(a, b, out=out)

    with single_threaded_blas():
        parallel_for(multiply, _PIECES)


def _kind() -> str:
    if not numba_available():
        return platform.machine()
    from headwise.attention.compiled.processor import PROCESSOR

    return PROCESSOR.name


def _libraries() -> dict[str, str]:
    names = (name for name in ("numpy", "numba", "torch", "onnxruntime", "jax") if importlib.util.find_spec(name))
    return {**{name: importlib.metadata.version(name) for name in names}, "BLAS": blas_name()}
