"""Threads that share work, and arrays that several threads check."""

import threading

import numpy as np
import pytest

import headwise as hw
from headwise.errors import DataError
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


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_large_bias_that_is_not_finite_is_refused(bad):
    q, k, v = np.random.default_rng(0).normal(size=(3, 1, 1031, 2)).astype(np.float32)
    bias = np.zeros((1031, 1031), np.float32)
    bias[-1, -2] = bad
    with pytest.raises(DataError, match="bias: expected finite numbers"):
        hw.attention(q, k, v, bias=bias)
