"""Independent tasks, run in this process, in several processes, or on the workers of a Dask scheduler."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from headwise import __version__
from headwise.errors import DataError, require_extra
from headwise.validation import check_counts

TIMEOUT = "10s"  # for a scheduler to answer

T = TypeVar("T")


def run_tasks(
    tasks: Mapping[str, Callable[[], T]], *, processes: int = 1, scheduler: str | None = None
) -> Iterator[tuple[str, T]]:
    """Run the tasks, and yield the result of each as soon as it is available.

    Parameters
    ----------
    tasks : mapping of str to callable
        By unique names. With several processes, the callables and their results are pickled.
    processes : int
        Processes on this machine, of one thread each; with 1, this process alone, in the order of the tasks.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers to use instead.

    Yields
    ------
    name : str
    result
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
    check_counts(processes=processes)
    if not tasks:
        return
    if scheduler is None and processes == 1:
        for name, task in tasks.items():
            yield name, task()
        return
    with _client(min(processes, len(tasks)), scheduler) as client, closing(_as_completed(client, tasks)) as results:
        yield from results


@contextmanager
def background_tasks(
    tasks: Mapping[str, Callable[[], T]], *, processes: int = 1
) -> Iterator[dict[str, Callable[[], T]]]:
    """Start tasks in other processes of one thread each, and yield a function for each that waits for its result.

    At the end of the block, tasks that still run are stopped.

    Raises MissingExtraError if Dask is not installed.
    """
    check_counts(processes=processes)
    with _client(min(processes, len(tasks)), None) as client:
        futures = {name: client.submit(task, key=f"headwise-{name}", pure=False) for name, task in tasks.items()}
        yield {name: future.result for name, future in futures.items()}


def _as_completed(client: Any, tasks: Mapping[str, Callable[[], T]]) -> Generator[tuple[str, T], None, None]:
    from distributed import CancelledError, KilledWorker, as_completed

    # if a worker dies, the scheduler itself runs its task again on another
    names = {client.submit(task, key=f"headwise-{name}", pure=False): name for name, task in tasks.items()}
    try:
        for future in as_completed(list(names), loop=client.loop):
            yield names[future], future.result()
            future.release()
    except KilledWorker as error:
        raise DataError(f"processes: {error.task} killed every worker that tried it. Out of memory?") from None
    except CancelledError:
        raise DataError(
            "scheduler: it stopped before the tasks were finished. Start it, and run the same command again to resume."
        ) from None
    finally:
        client.cancel(list(names))


def check_scheduler(address: str) -> None:
    """Raise DataError for what cannot be the address of a scheduler."""
    with require_extra("running in several processes", "dask", "cluster"):
        from distributed.comm import get_address_host_port
    try:
        get_address_host_port(address)
    except ValueError as error:
        raise DataError(
            f"scheduler: expected an address such as tcp://10.0.0.1:8786; got {address!r} ({error})."
        ) from None


@contextmanager
def _client(processes: int, scheduler: str | None) -> Iterator[Any]:
    with require_extra("running in several processes", "dask", "cluster"):
        from distributed import Client, LocalCluster
    _silence_logs()
    if scheduler is not None:
        check_scheduler(scheduler)  # for an address of another form, discarding the client would hang
        try:
            client = Client(scheduler, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise DataError(f"scheduler: {scheduler} does not answer ({error}). Is dask-scheduler running?") from None
        with client:
            _check_workers(client, scheduler)
            yield client
        return
    with _ignore_ctrl_c():
        cluster = LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # None means port 8787, which a second cluster cannot have
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,  # of the processes
        )
    with cluster, Client(cluster, set_as_default=False) as client:
        try:
            yield client
        except BaseException:
            _kill(cluster)
            raise


def _silence_logs() -> None:
    """For good: what Dask logs about lost connections, with tracebacks, can arrive after the cluster was closed."""
    for name in ("distributed", "distributed.client", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _kill(cluster: Any) -> None:
    """End the processes of a cluster, whose tasks would otherwise be waited for; what they write is atomic."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(nanny.pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has one of them


@contextmanager
def _ignore_ctrl_c() -> Iterator[None]:
    """Threads and processes started inside ignore Ctrl-C, which a terminal sends to all; this process stops them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started later, by the first process, it would receive Ctrl-C again
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _check_workers(client: Any, scheduler: str) -> None:
    """Raise DataError if the workers could not run a task; Dask would retry forever."""
    try:
        # a lambda is pickled as code, so that a worker without Headwise can run it and fail
        versions = client.run(lambda: __import__("headwise").__version__)
    except ImportError:
        raise DataError(f"scheduler: the workers of {scheduler} have no Headwise. Install it there.") from None
    if not versions:
        raise DataError(f"scheduler: {scheduler} has no workers. Start some with: dask worker {scheduler}")
    if others := {address: version for address, version in versions.items() if version != __version__}:
        raise DataError(f"scheduler: expected workers with headwise {__version__}, as here; got {others}.")
