"""Workers: how many threads an engine uses, and the pool they come from.

Units of work are fixed by the problem; threads only decide who computes which, so they never change a result.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import OpenBLASController, ThreadpoolController

__all__ = ["limit_threads", "num_threads", "parallel_for", "single_threaded_blas"]

_local = threading.local()


@contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Let the engines called from this thread, inside the ``with``, use `count` threads; one inside a worker.

    Examples
    --------
    >>> with limit_threads(1):
    ...     num_threads()
    1
    """
    before = getattr(_local, "count", None)
    _local.count = count
    try:
        yield
    finally:
        _local.count = before


def num_threads() -> int:
    """Threads an engine called from here may use: every core, unless `limit_threads` says otherwise."""
    return getattr(_local, "count", None) or _cores()


def parallel_for(task: Callable[[int], None], count: int) -> None:
    """Call ``task(i)`` for i = 0 … count − 1, spread over the workers, each on one thread."""
    used = min(num_threads(), count)
    todo = iter(range(count))  # shared: whoever is free takes the next

    def work() -> None:
        with limit_threads(1):
            for i in todo:
                task(i)

    helpers = [_pool(os.getpid(), used - 1).submit(work) for _ in range(used - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            helper.result()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One BLAS thread a worker. OpenBLAS has one limit for all: the first to enter sets it, the last restores it.

    Where there is one thread already, which somebody else has seen to, nothing is set or restored.
    """
    global _inside, _limit
    with _lock:
        _inside += 1
        if _inside == 1 and any(pool["num_threads"] != 1 for pool in _blas().info() if pool["user_api"] == "blas"):
            _limit = _blas().limit(limits=1, user_api="blas")
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _limit is not None:
                # threadpoolctl lets only the thread that set a limit change it, and the last need not be the first
                if hasattr(OpenBLASController, "clear_controlling_thread"):
                    OpenBLASController.clear_controlling_thread(force=True)
                _limit.restore_original_limits()
                _limit = None


_lock = threading.Lock()
_inside = 0
_limit: Any = None


@cache
def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _pool(process: int, size: int) -> ThreadPoolExecutor:
    """A pool for each process, since threads do not survive a fork."""
    return ThreadPoolExecutor(size, thread_name_prefix="headwise")
