"""Run tasks in a limited number of threads, with a limited number of tasks waiting, while their clients wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from headwise.parallel.threads import limit_threads, num_threads, single_threaded_blas
from headwise.web.middleware import RequestRejected

_Result = TypeVar("_Result")


class TaskRunner:
    """Runs tasks in threads, each task on one core.

    `max_tasks`: tasks that may run or wait at the same time; further tasks are rejected.
    """

    def __init__(self, max_tasks: int = 256) -> None:
        self._max_tasks = max_tasks
        self._tasks = 0

    @cached_property
    def _threads(self) -> CapacityLimiter:
        return CapacityLimiter(num_threads())

    async def run(self, task: Callable[[], _Result], request: Request) -> _Result:
        """Return the task's result.

        Raises
        ------
        RequestRejected
            503, if too many tasks are waiting; 400, if the client disconnected before the task was started.
        """
        if self._tasks >= self._max_tasks:
            raise RequestRejected(503, "Too many requests are waiting; try again in a moment.")

        disconnected = asyncio.create_task(_wait_for_disconnect(request))

        def on_one_core() -> _Result:
            if disconnected.done():
                raise RequestRejected(400, "The client disconnected.")
            with limit_threads(1), single_threaded_blas():
                return task()

        self._tasks += 1
        try:
            return await to_thread.run_sync(on_one_core, limiter=self._threads)
        finally:
            self._tasks -= 1
            disconnected.cancel()


async def _wait_for_disconnect(request: Request) -> None:
    """Return when the client has gone; its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
