"""Threads: how many are used, the pool they come from, and how work is divided into shards.

Units of work are fixed by the problem; threads only decide who computes which, so they never change a result.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import OpenBLASController, ThreadpoolController

_Part = TypeVar("_Part")
_Result = TypeVar("_Result")

_SHARD_TOKENS = 1600  # so that a block's activations of one shard stay in the second-level cache


class _Local(threading.local):
    """What `limit_threads` has set in this thread."""

    count: int | None = None


_local = _Local()


@contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Limit the threads of everything called from this thread, inside the ``with``, to `count`.

    Examples
    --------
    >>> with limit_threads(1):
    ...     num_threads()
    1
    """
    before = _local.count
    _local.count = count
    try:
        yield
    finally:
        _local.count = before


def num_threads() -> int:
    """Threads that may be used here: every core, unless `limit_threads` says otherwise."""
    return _local.count or _cores()


def parallel_for(task: Callable[[int], None], count: int) -> None:
    """Call ``task(i)`` for i = 0 … count − 1 on several threads; inside a task there is one thread."""
    used = min(num_threads(), count)
    todo = iter(range(count))  # shared: a free thread takes the next index

    def work() -> None:
        with limit_threads(1):
            for i in todo:
                task(i)

    helpers = [_pool(os.getpid(), used - 1).submit(work) for _ in range(used - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            if not helper.cancel():  # one that has not started yet is not waited for
                helper.result()


def parallel_map(task: Callable[[_Part], _Result], parts: Sequence[_Part]) -> list[_Result]:
    """Results of the task for each part, in order, computed on several threads.

    Examples
    --------
    >>> parallel_map(lambda x: x * x, [2, 3, 5])
    [4, 9, 25]
    """
    results: dict[int, _Result] = {}

    def compute(i: int) -> None:
        results[i] = task(parts[i])

    parallel_for(compute, len(parts))
    return [results[i] for i in range(len(parts))]


def shard_size(tokens: int) -> int:
    """How many sequences to compute together, so that their activations fit into the second-level cache."""
    return max(1, _SHARD_TOKENS // tokens)


def split(count: int, size: int) -> list[slice]:
    """Slices of `size` items, the last maybe shorter, that cover `count` items."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread. OpenBLAS has one process-wide limit: the first to enter sets it, the last restores it.

    If the limit is one already, nothing is set or restored.
    """
    global _inside, _limit
    with _lock:
        _inside += 1
        if _inside == 1 and any(library["num_threads"] != 1 for library in blas_libraries().info()):
            _limit = blas_libraries().limit(limits=1)
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
def blas_libraries() -> ThreadpoolController:
    """The BLAS libraries that were loaded when this was first called, whose threads `single_threaded_blas` limits."""
    return ThreadpoolController().select(user_api="blas")


@cache
def _pool(process: int, size: int) -> ThreadPoolExecutor:
    """One pool per process, since threads do not survive a fork."""
    return ThreadPoolExecutor(size, thread_name_prefix="headwise")
