"""Threads that share work, and arrays that several threads check."""

import os
import threading

import numpy as np
import pytest

import headwise as hw
from headwise.attention.compiled.team import share, shared_kernel
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


def _share(name: str, *arguments: int) -> bool:
    """Call a kernel in which two threads meet, if there are two."""
    with limit_threads(2):
        kernel = shared_kernel("helpers.kernels", name, np.dtype(np.float32))
        return share(kernel, 2, _ENOUGH, np.zeros(1, np.intp), *arguments)


@needs_numba
def test_a_helper_joins_every_call():
    assert all(_share("meet") for _ in range(20))


@needs_numba
@pytest.mark.parametrize("unit", [0, 1])
def test_after_an_error_on_either_thread_the_next_call_has_two_threads(unit):
    with pytest.raises(MemoryError, match="no memory"):
        _share("fail", unit)
    assert _share("meet")


@needs_numba
def test_several_threads_may_call_at_once():
    results = []
    callers = [threading.Thread(target=lambda: results.append(_share("meet"))) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert results == [True] * 3


@needs_numba
def test_no_units_are_no_work():
    kernel = shared_kernel("helpers.kernels", "meet", np.dtype(np.float32))
    assert not share(kernel, 0, 0.0, np.zeros(1, np.intp))


@needs_numba
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    assert _share("meet")
    child = os.fork()
    if child == 0:
        os._exit(_share("meet"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_large_bias_that_is_not_finite_is_refused(bad):
    q, k, v = np.random.default_rng(0).normal(size=(3, 1, 1031, 2)).astype(np.float32)
    bias = np.zeros((1031, 1031), np.float32)
    bias[-1, -2] = bad
    with pytest.raises(DataError, match="bias: expected finite numbers"):
        hw.attention(q, k, v, bias=bias)
