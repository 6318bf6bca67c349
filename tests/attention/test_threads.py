"""Threads that share work, and arrays that several threads check."""

import gc
import os
import threading
import time
import weakref

import numpy as np
import pytest

import headwise as hw
from headwise.attention.compiled.team import share
from headwise.errors import DataError
from headwise.jit import numba_available
from headwise.parallel.threads import limit_threads, parallel_for


def test_a_thread_that_has_not_started_is_not_waited_for():
    occupied, released, done = threading.Event(), threading.Event(), []

    def occupy(i: int) -> None:
        occupied.set()
        released.wait()

    def run(task, count):
        with limit_threads(2):  # the calling thread, and the only one of its pool
            parallel_for(task, count)

    blocker, other = (
        threading.Thread(target=run, args=arguments, daemon=True) for arguments in ((occupy, 2), (done.append, 5))
    )
    blocker.start()
    occupied.wait()
    other.start()
    other.join(60)
    finished = not other.is_alive()
    released.set()
    blocker.join()
    assert finished
    assert sorted(done) == list(range(5))


needs_numba = pytest.mark.skipif(not numba_available(), reason="needs numba")
_ENOUGH = 1e9  # multiplications, for which two threads are used


def _meet(barrier: threading.Barrier):
    """A task that ends on two threads only, and says on which it ran."""

    def task(counter) -> int:
        barrier.wait(60)
        return threading.get_ident()

    return task


@needs_numba
def test_a_task_runs_on_the_calling_thread_and_on_the_same_helper_each_time():
    with limit_threads(2):
        ran = [share(_meet(threading.Barrier(2)), 2, _ENOUGH) for _ in range(20)]
    assert all(ids[0] == threading.get_ident() and len(set(ids)) == 2 for ids in ran)
    assert len({ids[1] for ids in ran}) == 1


@needs_numba
@pytest.mark.parametrize("on_caller", [True, False])
def test_after_an_error_on_either_thread_the_next_call_has_two_threads(on_caller):
    barrier, caller = threading.Barrier(2), threading.get_ident()

    def fail(counter):
        barrier.wait(60)
        if (threading.get_ident() == caller) == on_caller:
            raise KeyboardInterrupt("on purpose")

    with limit_threads(2):
        with pytest.raises(KeyboardInterrupt, match="on purpose"):
            share(fail, 2, _ENOUGH)
        assert len(set(share(_meet(threading.Barrier(2)), 2, _ENOUGH))) == 2


@needs_numba
def test_several_threads_may_call_at_once():
    results, barriers = {}, [threading.Barrier(2) for _ in range(3)]

    def call(i: int) -> None:
        with limit_threads(2):
            results[i] = set(share(_meet(barriers[i]), 2, _ENOUGH))

    callers = [threading.Thread(target=call, args=(i,)) for i in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert sorted(len(ids) for ids in results.values()) == [2, 2, 2]


@needs_numba
def test_threads_keep_no_array_of_the_last_call():
    array = np.zeros(7)
    reference = weakref.ref(array)
    barrier = threading.Barrier(2)
    with limit_threads(2):
        share(lambda counter, array=array: barrier.wait(60), 2, _ENOUGH)
        del array
    until = time.monotonic() + 60
    while reference() is not None and time.monotonic() < until:
        gc.collect()  # the helper may still be returning from the task
    assert reference() is None


@needs_numba
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    with limit_threads(2):
        share(_meet(threading.Barrier(2)), 2, _ENOUGH)
        child = os.fork()
        if child == 0:
            os._exit(len(set(share(_meet(threading.Barrier(2)), 2, _ENOUGH))))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_large_bias_that_is_not_finite_is_refused(bad):
    q, k, v = np.random.default_rng(0).normal(size=(3, 1, 1031, 2)).astype(np.float32)
    bias = np.zeros((1031, 1031), np.float32)
    bias[-1, -2] = bad
    with pytest.raises(DataError, match="bias: expected finite numbers"):
        hw.attention(q, k, v, bias=bias)
