"""How much searches for several mistakes at once may compute.

It is counted in evaluations of the reference, not in seconds, so that a verdict does not depend on how fast or how busy
the machine is. An evaluation on the small arrays of the probes takes some 0.1 ms, and counts as one.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from headwise.checker.reference.state import Case
from headwise.checker.user_code.numpy_guard import np

MORE_FOR_PAIRS = 12_000  # that two mistakes may take in addition to what three and four may
_PER_EVALUATION = 5_000  # numbers in a case, for as much time as one of the smallest takes
_LIMIT: ContextVar[float] = ContextVar("limit", default=math.inf)


class _Count(threading.local):
    total = 0.0


_COUNT = _Count()


def evaluations() -> float:
    """How many evaluations there have been in this thread."""
    return _COUNT.total


def count_evaluation(case: Case, times: int = 1) -> None:
    """Count so many more; each is several for a case of large arrays."""
    sizes = [a.size for a in case.values() if isinstance(a, np.ndarray)]
    _COUNT.total += times * (1 + sum(sizes) / _PER_EVALUATION)


def limit() -> float:
    """The number of evaluations at which searches for three and four mistakes end."""
    return _LIMIT.get()


@contextlib.contextmanager
def limited_evaluations(count: float) -> Iterator[None]:
    """Limit the evaluations of all searches for three and four mistakes; two have more, and one is always tried."""
    token = _LIMIT.set(min(limit(), evaluations() + count))
    try:
        yield
    finally:
        _LIMIT.reset(token)


def single_mistakes() -> contextlib.AbstractContextManager[None]:
    """Let searches within look for one mistake only."""
    return limited_evaluations(-MORE_FOR_PAIRS)


@contextlib.contextmanager
def share_of_evaluations(among: int) -> Iterator[None]:
    """Limit the searches within to their share of the evaluations that are left for two mistakes."""
    remaining = max(0.0, limit() + MORE_FOR_PAIRS - evaluations())
    with limited_evaluations(remaining / among - MORE_FOR_PAIRS):
        yield
