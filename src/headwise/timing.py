"""Comparative timing: several callables take turns, so that a disturbance affects all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

SHORT_CALL, _REST = 0.2, 0.03  # seconds
_SECONDS = 1.5  # for each callable, after the first rounds


def time_interleaved(
    calls_by_name: Mapping[str, Callable[[], object]], *, seconds: float = _SECONDS, rest: float = _REST
) -> tuple[dict[str, float], int]:
    """Median seconds of each, and the number of rounds. They take turns, so that a disturbance affects all of them.

    Before each call there is a pause, since the threads of the library called before keep a core busy for some 20 ms,
    and before a short one a warm-up; callables of one library need no `rest`. There are 3 to 41 rounds, as many as fit
    in `seconds` each with their pauses.
    """
    for call in calls_by_name.values():
        call()
    once = {name: _time(call) for name, call in calls_by_name.items()}
    slowest = max(once.values())
    pause = 2 * rest if slowest < SHORT_CALL else rest
    rounds = int(min(max(seconds / max(slowest + pause, 1e-9), 3), 41))
    times: dict[str, list[float]] = {name: [] for name in calls_by_name}
    for _ in range(rounds):
        for name, call in calls_by_name.items():
            time.sleep(rest)
            if rest and once[name] < SHORT_CALL:
                _warm_up(call, rest)
            times[name].append(_time(call))
    return {name: statistics.median(values) for name, values in times.items()}, rounds


def _warm_up(call: Callable[[], object], seconds: float) -> None:
    """Call for as long as the pause, since a core is slow at first after sleeping."""
    until = time.perf_counter() + seconds
    call()
    while time.perf_counter() < until:
        call()


def _time(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
