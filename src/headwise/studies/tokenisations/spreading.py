"""Where runs are computed: here, one after another, or as independent tasks on Dask's workers."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing import resource_tracker
from typing import Any

from headwise import __version__
from headwise.attention.threads import workers as cores
from headwise.data.digits import Digits
from headwise.errors import DataError, MissingExtraError
from headwise.studies.tokenisations.plan import Job
from headwise.studies.tokenisations.runs import Run, run

__all__ = ["results"]

_PATIENCE = "10s"  # for a scheduler to answer


def results(
    jobs: Sequence[Job], load: Callable[[], Digits], *, workers: int = 1, scheduler: str | None = None
) -> Iterator[Run]:
    """Run the jobs, and give out what each found as soon as it is there, in any order.

    Parameters
    ----------
    jobs : sequence of Job
    load : callable
        Reads the digits; called where a run is computed, so that no worker depends on another's memory.
    workers : int
        Processes on this machine, of one thread each; with 1, this process alone and all its cores.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers to use instead.

    Yields
    ------
    Run

    Raises
    ------
    MissingExtraError
        If Dask is needed and not installed.
    DataError
        If the scheduler does not answer, or a run has killed every worker that tried it.
    """
    if workers < 1:
        raise DataError(f"workers: expected 1 or more; got {workers}.")
    if scheduler is None and workers == 1:
        digits = load()
        for job in jobs:
            yield run(job, digits, threads=cores())
        return
    with _client(min(workers, len(jobs)), scheduler) as client, closing(_gathered(client, jobs, load)) as found:
        yield from found


def _attempt(job: Job, load: Callable[[], Digits]) -> Run:
    return run(job, load())


def _gathered(client: Any, jobs: Sequence[Job], load: Callable[[], Digits]) -> Generator[Run, None, None]:
    from distributed import KilledWorker, as_completed

    # a task whose worker died is tried again, elsewhere, by the scheduler itself
    futures = [client.submit(_attempt, job, load, key=f"headwise-{job.identity}", pure=False) for job in jobs]
    try:
        for future in as_completed(futures, loop=client.loop):
            yield future.result()
            future.release()
    except KilledWorker as error:
        raise DataError(f"workers: {error.task} ended every worker that tried it. Out of memory?") from None
    finally:
        client.cancel(futures)


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise MissingExtraError("running on several workers", "dask", "cluster") from None
    if scheduler is not None:
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
