"""Run tasks in a limited number of threads, with a limited number of tasks waiting."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from headwise.parallel.threads import limit_threads, num_threads, single_threaded_blas
from headwise.web.middleware import RequestRejected

__all__ = ["TaskRunner"]

_Result = TypeVar("_Result")


class TaskRunner:
    """Runs tasks in threads, each task on one core.

    Parameters
    ----------
    max_tasks : int
        Tasks that may run or wait at the same time; further tasks are rejected.
    """

    def __init__(self, max_tasks: int = 256) -> None:
        self._max_tasks = max_tasks
        self._tasks = 0

    @cached_property
    def _threads(self) -> CapacityLimiter:
        return CapacityLimiter(num_threads())

    async def run(self, task: Callable[[], _Result]) -> _Result:
        """Return the task's result.

        Raises
        ------
        RequestRejected
            503, if too many tasks are waiting.
        """
        if self._tasks >= self._max_tasks:
            raise RequestRejected(503, "Too many requests are waiting; try again in a moment.")

        def on_one_core() -> _Result:
            with limit_threads(1), single_threaded_blas():
                return task()

        self._tasks += 1
        try:
            return await to_thread.run_sync(on_one_core, limiter=self._threads)
        finally:
            self._tasks -= 1
