"""Kernels that threads share, for tests of how they do."""

import numpy as np
from numba import types

from headwise.attention.compiled.simd import compiled
from headwise.attention.compiled.work import COUNTER, add, take

_TURNS = 10**9  # of a loop that waits for another thread: some seconds


def meet_types(_):
    """Signature of `meet`."""
    return types.boolean(COUNTER, COUNTER)


def meet(counter, arrived):
    """Take a unit and wait for another thread to take one; whether it did."""
    first, last = take(counter)
    if first == last:
        return False
    add(arrived, 0, 1)
    return _wait(arrived)


def fail_types(_):
    """Signature of `fail`."""
    return types.void(COUNTER, COUNTER, types.intp)


def fail(counter, arrived, unit):
    """Meet another thread, and fail if this thread has a certain unit."""
    first, _ = take(counter)
    add(arrived, 0, 1)
    _wait(arrived)
    if first == unit:
        arrived[0] = np.empty(2**60).size


@compiled
def _wait(arrived):
    """Wait until a second thread has arrived; whether it has."""
    turns = 0
    while add(arrived, 0, 0) < 2 and turns < _TURNS:
        turns += 1
    return turns < _TURNS
