"""Comparative timing: several callables take turns, so that a disturbance meets them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

__all__ = ["time_interleaved"]

_SHORT, _REST = 0.2, 0.03
_SECONDS = 1.5  # that one contestant may take for one line of the table, beyond its first rounds


def time_interleaved(
    contestants: Mapping[str, Callable[[], object]], *, seconds: float = _SECONDS, rest: float = _REST
) -> tuple[dict[str, float], int]:
    """Median seconds of each, and the number of rounds. They take turns, so that a disturbance meets them all.

    Before a short turn all rest and the contestant warms up, since threads of another library that has had its turn
    keep a core busy for some 20 ms; contestants of one library need no `rest`. There are 3 to 41 rounds, as many as
    fit in `seconds` each.

    Examples
    --------
    >>> contestants = {"short": lambda: sum(range(10)), "long": lambda: sum(range(10**5))}
    >>> medians, rounds = time_interleaved(contestants, seconds=0.02)
    >>> medians["short"] < medians["long"], rounds >= 3
    (True, True)
    """
    for call in contestants.values():
        call()
    slowest = max(_time(call) for call in contestants.values())
    rounds = int(min(max(seconds / max(slowest, 1e-9), 3), 41))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            if rest and slowest < _SHORT:
                time.sleep(rest)
                _warm_up(call, rest)
            times[name].append(_time(call))
    return {name: statistics.median(found) for name, found in times.items()}, rounds


def _warm_up(call: Callable[[], object], seconds: float) -> None:
    """Call for as long as the rest took, since a core that has slept is slow to begin with."""
    until = time.perf_counter() + seconds
    call()
    while time.perf_counter() < until:
        call()


def _time(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
