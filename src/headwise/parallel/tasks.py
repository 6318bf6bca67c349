"""Where independent tasks are computed: here, one after another, or on Dask's workers."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from headwise import __version__
from headwise.errors import DataError, MissingExtraError
from headwise.validation import check_counts

__all__ = ["run_tasks"]

_PATIENCE = "10s"  # for a scheduler to answer

T = TypeVar("T")


def run_tasks(
    tasks: Mapping[str, Callable[[], T]], *, workers: int = 1, scheduler: str | None = None
) -> Iterator[tuple[str, T]]:
    """Run the tasks, and give out what each found as soon as it is there.

    Parameters
    ----------
    tasks : mapping of str to callable
        By a name that tells each from any other. What a task needs travels with it, and what it returns travels back.
    workers : int
        Processes on this machine, of one thread each; with 1, this process alone, in the order of the tasks.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers to use instead.

    Yields
    ------
    name : str
    found
        What the task returned.

    Raises
    ------
    MissingExtraError
        If Dask is needed and not installed.
    DataError
        If the scheduler does not answer, or stops, or a task has killed every worker that tried it.

    Examples
    --------
    >>> dict(run_tasks({"two": lambda: 1 + 1, "three": lambda: 1 + 2}))
    {'two': 2, 'three': 3}
    """
    check_counts(workers=workers)
    if scheduler is None and workers == 1:
        for name, task in tasks.items():
            yield name, task()
        return
    with _client(min(workers, len(tasks)), scheduler) as client, closing(_gathered(client, tasks)) as found:
        yield from found


def _gathered(client: Any, tasks: Mapping[str, Callable[[], T]]) -> Generator[tuple[str, T], None, None]:
    from distributed import CancelledError, KilledWorker, as_completed

    # a task whose worker died is tried again, elsewhere, by the scheduler itself
    names = {client.submit(task, key=f"headwise-{name}", pure=False): name for name, task in tasks.items()}
    try:
        for future in as_completed(list(names), loop=client.loop):
            yield names[future], future.result()
            future.release()
    except KilledWorker as error:
        raise DataError(f"workers: {error.task} ended every worker that tried it. Out of memory?") from None
    except CancelledError:
        raise DataError(
            "scheduler: it stopped before the tasks were done. Start it; the same command goes on."
        ) from None
    finally:
        client.cancel(list(names))


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster
        from distributed.comm import get_address_host_port
    except ImportError:
        raise MissingExtraError("running on several workers", "dask", "cluster") from None
    if scheduler is not None:
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it is told in one line
        try:
            get_address_host_port(scheduler)  # a client of no such form would hang when it is thrown away
        except ValueError as error:
            raise DataError(
                f"scheduler: expected an address such as tcp://10.0.0.1:8786; got {scheduler} ({error})."
            ) from None
        try:
            client = Client(scheduler, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise DataError(f"scheduler: {scheduler} does not answer ({error}). Is dask-scheduler running?") from None
        with client:
            _examine(client, scheduler)
            yield client
        return
    with _deaf_to_ctrl_c():
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
        )
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Threads and processes begun inside never hear Ctrl-C, which a terminal sends to all: this process ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # begun later, by the first process, it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _examine(client: Any, scheduler: str) -> None:
    """Refuse workers that could not run a task; Dask would try for ever."""
    try:
        # a lambda travels as code, so that workers without Headwise can say so
        found = client.run(lambda: __import__("headwise").__version__)
    except ImportError:
        raise DataError(f"scheduler: the workers of {scheduler} have no Headwise. Install it there.") from None
    if not found:
        raise DataError(f"scheduler: {scheduler} has no workers. Start some with: dask worker {scheduler}")
    if others := {address: version for address, version in found.items() if version != __version__}:
        raise DataError(f"scheduler: expected workers with headwise {__version__}, as here; got {others}.")
