"""Threads that share the calls of compiled kernels.

Between two calls they wait in compiled code for a moment before they sleep, and join the next call without Python:
waking a thread that sleeps takes longer than a short call, and so may waiting for Python.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from headwise.jit import compile_function, compile_kernel
from headwise.parallel.threads import num_threads, parallel_map
from headwise.shapes import IntArray

_WORK = "headwise.attention.compiled.work"

# Multiplications: fewer take less time than it takes to call a thread, or for threads to agree on who takes them.
_WORTH_A_THREAD, _WORTH_TAKING, _PIECES = 5e5, 3e4, 256

BOARD_SIZE, ANNOUNCED = 1024, 1  # integers of a board; the one that says whether a call is about to come

# Bits of a result: a number was not finite; a query's weights sum to zero; the maximum of its logits is so large that
# the backward pass, which sums them in another order, could miss it; the kernel raised an error.
NONFINITE, EMPTY, COARSE, FAILED = 1, 2, 4, 1 << 32


class SharedKernel(NamedTuple):
    """A kernel that threads can share: where its code is, and `work.run` for the types of its arguments."""

    address: int
    run: Callable[[IntArray, int, int, tuple[Any, ...]], int]


@cache
def shared_kernel(module: str, name: str, *dtypes: np.dtype[Any]) -> SharedKernel:
    """A kernel whose first argument is a counter of units, compiled as by `compile_kernel`."""
    (kernel,) = compile_kernel(module, name, *dtypes).overloads.values()
    address = kernel.library.get_pointer_to_function(kernel.fndesc.llvm_func_name)
    return SharedKernel(address, compile_function(import_module(_WORK), "run", kernel.signature.args))


def share(kernel: SharedKernel, units: int, work: float, *arguments: object) -> int:
    """Call the kernel with a counter of units and the arguments, on several threads.

    They take so many units at a time, and are so many, as are worth it for `work`, the multiplications of all.
    Returns the bits of the result; raises MemoryError if the kernel could not allocate its arrays.
    """
    threads = min(num_threads(), int(work / _WORTH_A_THREAD))
    size = units if threads <= 1 else -(-units // min(_PIECES, int(work / _WORTH_TAKING)))
    counted = np.array([0, size, units], np.intp), *arguments
    result = _run_alone(kernel, counted) if size >= units else _run(kernel, min(threads, -(-units // size)), counted)
    if result & FAILED:
        raise MemoryError("compiled kernel: no memory for its tiles")
    return result


def _run(kernel: SharedKernel, threads: int, arguments: tuple[Any, ...]) -> int:
    team = _team(os.getpid(), num_threads() - 1)
    if not team.idle.acquire(blocking=False):  # it works for another thread of this process
        return max(parallel_map(lambda _: _run_alone(kernel, arguments), range(threads)))
    try:
        return team.run(kernel, threads - 1, arguments)
    finally:
        team.idle.release()


def _run_alone(kernel: SharedKernel, arguments: tuple[Any, ...]) -> int:
    return kernel.run(np.empty(BOARD_SIZE, np.intp), 0, kernel.address, arguments)


class _Team:
    """Threads that wait at a board: each is called by releasing its lock, and takes part in calls until none comes."""

    def __init__(self, threads: int) -> None:
        self.idle = threading.Lock()
        self._board = np.zeros(BOARD_SIZE, np.intp)
        self._join = compile_kernel(_WORK, "join", np.dtype(np.float32))
        self._locks = [threading.Lock() for _ in range(threads)]
        for lock in self._locks:
            lock.acquire()
            threading.Thread(target=self._wait, args=(lock,), daemon=True, name="headwise").start()

    def run(self, kernel: SharedKernel, helpers: int, arguments: tuple[Any, ...]) -> int:
        """The result of the kernel on the calling thread and on so many helpers, where they come in time."""
        self._board[ANNOUNCED] = 1
        try:
            for lock in self._locks[:helpers]:
                if lock.locked():
                    lock.release()
            return kernel.run(self._board, helpers, kernel.address, arguments)
        finally:
            self._board[ANNOUNCED] = 0

    def _wait(self, lock: threading.Lock) -> None:
        while True:
            lock.acquire()
            self._join(self._board)


@cache
def _team(process: int, threads: int) -> _Team:
    """One team per process, since threads do not survive a fork."""
    return _Team(threads)
