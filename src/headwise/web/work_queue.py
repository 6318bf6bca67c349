"""Where the work is done: a few threads, and a queue that does not grow without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headwise.parallel.threads import limit_threads, num_threads, single_threaded_blas
from headwise.web.middleware import RequestRejected

__all__ = ["WorkQueue"]

_Result = TypeVar("_Result")


class WorkQueue:
    """Runs tasks in threads, each on one core.

    Parameters
    ----------
    waiting : int
        Tasks that may be under way or waiting; another is refused.
    """

    def __init__(self, waiting: int = 256) -> None:
        self._pool = ThreadPoolExecutor(num_threads(), thread_name_prefix="headwise-desk")
        self._waiting = waiting
        self._inside = 0

    async def do(self, task: Callable[[], _Result]) -> _Result:
        """What the task returns.

        Raises
        ------
        Refused
            503, if too many are waiting.
        """
        if self._inside >= self._waiting:
            raise RequestRejected(503, "Too many requests are waiting; try again in a moment.")

        def alone() -> _Result:
            with limit_threads(1), single_threaded_blas():
                return task()

        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, alone)
        finally:
            self._inside -= 1
