"""Threads for compiled kernels: between two calls they wait in compiled code for a moment before they sleep.

Waking a thread that sleeps takes longer than a short call.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from headwise.jit import compile_kernel
from headwise.parallel.threads import num_threads, parallel_map
from headwise.shapes import IntArray

_WORK = "headwise.attention.compiled.work"

# Multiplications: fewer take less time than it takes to call a thread, or for threads to agree on who takes them.
_WORTH_A_THREAD, _WORTH_TAKING, _PIECES = 5e5, 1.25e5, 256

_Task = Callable[[IntArray], Any]


def share(task: _Task, units: int, work: float) -> list[Any]:
    """Results of the task, called with a counter of units, on each thread that came to it.

    It takes so many units at a time, and so many threads, as are worth it for `work`, the multiplications of all.
    """
    threads = min(num_threads(), int(work / _WORTH_A_THREAD))
    if threads <= 1 or units <= 1:
        return [task(np.array([0, units, units, 0], np.intp))]
    size = -(-units // max(1, min(_PIECES, int(work / _WORTH_TAKING))))
    counter, threads = np.array([0, size, units, 0], np.intp), min(threads, -(-units // size))
    team = _team(os.getpid(), num_threads() - 1)
    if not team.idle.acquire(blocking=False):  # it works for another thread of this process
        return parallel_map(lambda _: task(counter), range(threads))
    try:
        results = team.run(task, counter, threads - 1)
    except BaseException:
        _team.cache_clear()  # its threads may still be at work
        raise
    team.idle.release()
    return results


class _Team:
    """Threads that take tasks from a queue.

    What they and the caller read in compiled code only says when to look into the queues, and a thread that returns
    from it has Python to itself, since waiting for another to release it would mean to sleep.
    """

    def __init__(self, threads: int) -> None:
        self.idle = threading.Lock()
        self._counter, self._ends = np.zeros(4, np.intp), np.zeros(threads, np.intp)
        self._tasks: SimpleQueue[tuple[int, _Task]] = SimpleQueue()
        self._results: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        real = np.dtype(np.float32)
        self._await_call, self._await_ends = (compile_kernel(_WORK, f"await_{x}", real) for x in ("call", "ends"))
        for _ in range(threads):
            threading.Thread(target=self._work, daemon=True, name="headwise").start()

    def run(self, task: _Task, counter: IntArray, helpers: int) -> list[Any]:
        """Results of the task on the calling thread and on those of the helpers that began before it was done."""
        counter[3] = self._counter[3] + 1
        self._counter[:] = counter
        for i in range(helpers):
            self._tasks.put((i, task))
        results = [task(self._counter)]
        begun = helpers - self._withdraw()
        self._await_ends(self._counter, self._ends, begun)
        for result, error in (self._results.get() for _ in range(begun)):
            if error is not None:
                raise error
            results.append(result)
        return results

    def _withdraw(self) -> int:
        """Take back the tasks that no thread has begun; return how many."""
        count = 0
        with suppress(Empty):
            while True:
                self._tasks.get_nowait()
                count += 1
        return count

    def _work(self) -> None:
        """Run tasks for ever, on a thread of its own."""
        call, i = 0, 0
        while True:
            self._await_call(self._counter, call, self._ends, i)
            call, i = self._run_next()

    def _run_next(self) -> tuple[int, int]:
        """Run the next task, of which nothing is kept; return the number of its call, and its own."""
        i, task = self._tasks.get()
        call = int(self._counter[3])
        try:
            self._results.put((task(self._counter), None))
        except BaseException as error:
            self._results.put((None, error))
        return call, i


@cache
def _team(process: int, threads: int) -> _Team:
    """One team per process, since threads do not survive a fork."""
    return _Team(threads)
