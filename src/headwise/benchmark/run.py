"""Time the engines on this machine in one run, next to other implementations and the limits of the machine.

What bounds attention is the rate of matrix products and that of reading memory; `machine` measures both.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise import jit
from headwise.attention import attention, attention_backward, attention_forward
from headwise.attention.engines import fastest_of_numpy
from headwise.benchmark.peers import PEERS, peer_calls
from headwise.benchmark.workloads import Inputs, Workload, workloads
from headwise.jit import numba_available
from headwise.parallel.threads import num_threads, parallel_for, single_threaded_blas
from headwise.progress import NoProgress, Progress
from headwise.runtime import blas_name, cpu_name
from headwise.timing import time_interleaved

# The rate of products is measured with tasks that multiply the same matrices repeatedly. BLAS gets larger
# tiles, which fit the second-level cache; the engine's own products get tiles for the first-level cache.
_PIECES, _TIMES = 8, 2000
_BLAS_TIMES, _BLAS_SHAPE = 16, (1024, 256, 512)
_READ = 2**25  # numbers that each piece reads: together they are larger than any cache
_SLOW = 3.0  # times the fastest peer: such a call is measured once, so that it does not limit the rounds of the others


@dataclass(frozen=True)
class Timing:
    """Median seconds of each implementation for one workload.

    `products` and `memory` are the seconds that the matrix products and reading the arrays would take alone.
    """

    workload: Workload
    seconds: Mapping[str, float]
    products: float
    memory: float
    rounds: int

    @property
    def fastest_peer(self) -> str | None:
        """The fastest library other than headwise; None if none was measured."""
        peers = {name: seconds for name, seconds in self.seconds.items() if name in PEERS}
        return min(peers, key=peers.__getitem__) if peers else None

    def ratio(self, peer: str | None, to: str = "headwise") -> float | None:
        """How many times faster than a peer; None if the peer was not measured."""
        if peer is None or not {peer, to} <= set(self.seconds):
            return None
        return self.seconds[peer] / self.seconds[to]

    @property
    def limit(self) -> float:
        """Seconds below which this machine cannot compute the workload."""
        return max(self.products, self.memory)

    @property
    def fraction_of_limit(self) -> float:
        """The limit as a fraction of headwise's time."""
        return self.limit / self.seconds["headwise"]


@dataclass(frozen=True)
class Bench:
    """The timings, and the machine."""

    machine: Machine
    timings: tuple[Timing, ...]

    @property
    def worst(self) -> Timing | None:
        """The workload with the smallest ratio to its fastest peer; None if no peer was measured."""
        measured = [timing for timing in self.timings if timing.fastest_peer]
        return min(measured, key=lambda timing: timing.ratio(timing.fastest_peer) or 0.0, default=None)


def bench(
    rows: Sequence[Workload] | None = None,
    *,
    peers: tuple[str, ...] = tuple(PEERS),
    seconds: float = 1.0,
    progress: Progress | None = None,
) -> Bench:
    """Time each workload.

    Parameters
    ----------
    rows : sequence of Workload, optional
        `workloads()` by default.
    peers : tuple of str
        Libraries to measure as well, where they are installed and have the options that the workload needs.
    seconds : float
        For each implementation of a workload, shared among its rounds.
    progress : Progress, optional

    Returns
    -------
    Bench
        Implementations are "headwise" (what ``engine="auto"`` picks), "numpy" (the same without numba) and the peers.
    """
    rows = workloads() if rows is None else rows
    progress = progress or NoProgress()
    progress.stage("this machine", 1)
    here = machine()
    progress.advance()
    progress.stage("attention", len(rows))
    timings = []
    for workload in rows:
        timings.append(_measure(workload, here, peers, seconds))
        progress.advance(f"{workload.name} {workload.label}")
    return Bench(here, tuple(timings))


def _measure(workload: Workload, here: Machine, peers: tuple[str, ...], seconds: float) -> Timing:
    inputs = workload.inputs()
    _, cache = attention_forward(inputs.q, inputs.k, inputs.v, **inputs.options)
    calls = {
        "headwise": _call(workload, inputs, "auto"),
        "numpy": _call(workload, inputs, fastest_of_numpy(cache.inputs)),
        **peer_calls(workload, inputs, peers),
    }
    once = {name: min(_time(call) for _ in range(2)) for name, call in calls.items()}
    fastest = min((once[name] for name in once if name in PEERS), default=once["numpy"])
    slow = {name: took for name, took in once.items() if name != "headwise" and took > _SLOW * fastest}
    medians, rounds = time_interleaved({name: calls[name] for name in calls if name not in slow}, seconds=seconds)
    seconds_by_name = {name: medians.get(name, once[name]) for name in calls}
    limits = workload.operations / here.products, workload.bytes_read / here.bandwidth
    return Timing(workload, seconds_by_name, *limits, rounds)


def _call(workload: Workload, inputs: Inputs, engine: Any) -> Callable[[], object]:
    q, k, v, options = inputs.q, inputs.k, inputs.v, inputs.options
    if not workload.backward:
        return lambda: attention(q, k, v, **options, engine=engine)
    return lambda: attention_backward(inputs.do, attention_forward(q, k, v, **options, engine=engine)[1])


def _time(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


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
    fastest = max(rates, key=rates.__getitem__)
    bandwidth = len(numbers) * numbers[0].nbytes / medians["read"]
    system = cpu_name(), _kind(), num_threads(), _libraries()
    return Machine(*system, rates["blas"], rates[fastest], fastest, bandwidth)


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
