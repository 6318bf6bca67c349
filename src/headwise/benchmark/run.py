"""Time the engines on this machine in one run, next to other implementations and the limits of the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwise.attention import attention, attention_backward, attention_forward
from headwise.benchmark.limits import Machine, machine
from headwise.benchmark.peers import PEERS, peer_calls
from headwise.benchmark.workloads import Inputs, Workload, workloads
from headwise.progress import NoProgress, Progress
from headwise.timing import time_interleaved

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
        """The fastest library besides headwise; None if none was measured."""
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
    b, h, n, _ = workload.shape
    small = n * workload.m <= 4096 and b * h * n * workload.m <= 2**26
    calls = {
        "headwise": _call(workload, inputs, "auto"),
        "numpy": _call(workload, inputs, "dense" if small else "blockwise"),
        **peer_calls(workload, inputs, peers),
    }
    once = {name: min(_time(call) for _ in range(2)) for name, call in calls.items()}
    fastest = min((once[name] for name in once if name in PEERS), default=once["numpy"])
    slow = {name: took for name, took in once.items() if name != "headwise" and took > _SLOW * fastest}
    medians, rounds = time_interleaved({name: calls[name] for name in calls if name not in slow}, seconds=seconds)
    return Timing(
        workload,
        {name: medians.get(name, once[name]) for name in calls},
        workload.operations / here.products,
        workload.bytes_read / here.bandwidth,
        rounds,
    )


def _call(workload: Workload, inputs: Inputs, engine: Any) -> Callable[[], object]:
    q, k, v, options = inputs.q, inputs.k, inputs.v, inputs.options
    if not workload.backward:
        return lambda: attention(q, k, v, **options, engine=engine)
    return lambda: attention_backward(inputs.do, attention_forward(q, k, v, **options, engine=engine)[1])


def _time(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
