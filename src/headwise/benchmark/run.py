"""Time the engines on this machine in one run, against other implementations and the matrix products alone."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise import jit
from headwise.attention import attention, attention_backward, attention_forward
from headwise.jit import numba_available
from headwise.parallel.threads import num_threads, parallel_for, single_threaded_blas
from headwise.progress import NoProgress, Progress
from headwise.runtime import blas_name, cpu_name
from headwise.timing import time_interleaved

__all__ = [
    "LONG_WORKLOADS",
    "WORKLOADS",
    "Bench",
    "Machine",
    "Timing",
    "Workload",
    "bench",
    "machine",
    "matrix_products",
]


@dataclass(frozen=True)
class Workload:
    """A row of the benchmark: attention of q, k and v of shape (B, H, N, d), in float32."""

    shape: tuple[int, int, int, int]
    causal: bool = False
    backward: bool = False

    @property
    def name(self) -> str:
        """The computation, in words."""
        return ("causal " if self.causal else "") + ("both ways" if self.backward else "forward")

    @property
    def operations(self) -> float:
        """Multiplications and additions of the necessary matrix products: two forward, five backward."""
        b, h, n, d = self.shape
        visible = n * (n + 1) / 2 if self.causal else n * n
        return 2.0 * b * h * visible * d * (7 if self.backward else 2)


SMALL = ((128, 4, 17, 16), (128, 4, 29, 16), (128, 4, 50, 16), (32, 8, 197, 64), (8, 8, 256, 64))
WORKLOADS = tuple(
    Workload(shape, causal, backward)
    for backward in (False, True)
    for shape, causal in [
        *((s, False) for s in SMALL),
        *(((1, 8, n, 64), c) for n in (1024, 4096) for c in (False, True)),
    ]
)
LONG_WORKLOADS = tuple(
    Workload((1, 8, 16384, 64), causal, backward) for backward in (False, True) for causal in (False, True)
)


@dataclass(frozen=True)
class Machine:
    """The machine of a benchmark, and its speed at matrix products.

    Attributes
    ----------
    cpu : str
    cores : int
        Threads that every implementation may use.
    libraries : dict of str to str
        Versions, and the BLAS with the processor that it detects.
    blas, products : float
        Operations per second of matrix products in the cache, on all cores: by NumPy's BLAS, and by the faster of it
        and the compiled engine's own.
    fastest : str
        Which one is faster, "blas" or "compiled"; it is timed with every workload as the limit.
    """

    cpu: str
    cores: int
    libraries: Mapping[str, str]
    blas: float
    products: float
    fastest: str


@dataclass(frozen=True)
class Timing:
    """Median seconds of each implementation for one workload; `limit` is that of the matrix products alone."""

    workload: Workload
    seconds: Mapping[str, float]
    limit: float
    rounds: int

    def ratio(self, peer: str, to: str = "headwise") -> float | None:
        """How many times faster than a peer; None if the peer was not measured."""
        return self.seconds[peer] / self.seconds[to] if {peer, to} <= set(self.seconds) else None

    @property
    def fraction_of_peak(self) -> float:
        """The fraction of the time that the matrix products alone take."""
        return self.limit / self.seconds["headwise"]


@dataclass(frozen=True)
class Bench:
    """The timings, and the machine."""

    machine: Machine
    timings: tuple[Timing, ...]


def bench(workloads: Sequence[Workload] = WORKLOADS, *, peer: bool = True, progress: Progress | None = None) -> Bench:
    """Time each workload.

    Parameters
    ----------
    workloads : sequence of Workload
    peer : bool
        Also measure torch, where it is installed.
    progress : Progress, optional

    Returns
    -------
    Bench
        Implementations are "headwise" (what ``engine="auto"`` picks), "numpy" (the same without numba) and "torch".
    """
    progress = progress or NoProgress()
    progress.stage("this machine", 1)
    here = machine()
    progress.advance()
    progress.stage("attention", len(workloads))
    timings = []
    for workload in workloads:
        timings.append(_measure(workload, here, peer))
        progress.advance(f"{workload.name} {workload.shape}")
    return Bench(here, tuple(timings))


def machine() -> Machine:
    """Describe this machine: its processor, its libraries, and how fast it multiplies matrices."""
    implementations = matrix_products()
    medians, _ = time_interleaved({name: call for name, (call, _) in implementations.items()})
    rates = {name: implementations[name][1] / seconds for name, seconds in medians.items()}
    return Machine(
        cpu_name(), num_threads(), _libraries(), rates["blas"], max(rates.values()), max(rates, key=rates.__getitem__)
    )


def _measure(workload: Workload, here: Machine, peer: bool) -> Timing:
    rng = np.random.default_rng(0)
    q, k, v, do = (rng.standard_normal(workload.shape, np.float32) for _ in range(4))
    b, h, n, _ = workload.shape
    small = n * n <= 4096 and b * h * n * n <= 2**26

    def run(engine: Any) -> Callable[[], object]:
        if not workload.backward:
            return lambda: attention(q, k, v, causal=workload.causal, engine=engine)
        return lambda: attention_backward(do, attention_forward(q, k, v, causal=workload.causal, engine=engine)[1])

    implementations = {"headwise": run("auto"), "numpy": run("dense" if small else "blockwise")}
    if peer and importlib.util.find_spec("torch"):
        implementations["torch"] = _torch(workload, (q, k, v, do))
    products, operations = matrix_products()[here.fastest]
    medians, rounds = time_interleaved({**implementations, "products": products})
    return Timing(workload, medians, medians.pop("products") * workload.operations / operations, rounds)


def _torch(workload: Workload, arrays: Sequence[Any]) -> Callable[[], object]:
    import torch

    torch.set_num_threads(num_threads())
    *qkv, do = (torch.from_numpy(array) for array in arrays)
    attend = torch.nn.functional.scaled_dot_product_attention
    if workload.backward:
        for tensor in qkv:
            tensor.requires_grad_(True)
        return lambda: torch.autograd.grad(attend(*qkv, is_causal=workload.causal), qkv, do)

    def forward() -> object:
        with torch.no_grad():
            return attend(*qkv, is_causal=workload.causal)

    return forward


# The speed of the machine is measured with so many tasks, each of which multiplies the same matrices repeatedly. BLAS
# gets larger tiles, which fit the second-level cache; the engine's own products get tiles for the first-level cache.
_PIECES, _TIMES = 8, 2000
_BLAS_TIMES, _BLAS_SHAPE = 16, (1024, 256, 512)


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


def _libraries() -> dict[str, str]:
    names = (name for name in ("numpy", "numba", "torch") if importlib.util.find_spec(name))
    return {**{name: importlib.metadata.version(name) for name in names}, "BLAS": blas_name()}
