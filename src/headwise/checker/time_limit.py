"""The processor time that searches for several mistakes at once may take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextvars import ContextVar

MORE_FOR_PAIRS = 2.0  # seconds that two mistakes may take in addition to what three and four may
_DEADLINE: ContextVar[float] = ContextVar("deadline", default=float("inf"))  # in seconds of processor time


def deadline() -> float:
    """When searches for three and four mistakes end, on the clock of the thread's processor time."""
    return _DEADLINE.get()


@contextlib.contextmanager
def limited_time(seconds: float) -> Iterator[None]:
    """Limit the processor time of all searches for three and four mistakes; two have more, and one is always tried."""
    token = _DEADLINE.set(min(deadline(), time.thread_time() + seconds))
    try:
        yield
    finally:
        _DEADLINE.reset(token)


@contextlib.contextmanager
def share_of_time(among: int) -> Iterator[None]:
    """Limit the searches within to their share of the time that is left for two mistakes."""
    left = max(0.0, deadline() + MORE_FOR_PAIRS - time.thread_time())
    with limited_time(left / among - MORE_FOR_PAIRS):
        yield
