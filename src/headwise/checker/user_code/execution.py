"""Running a user's code in this process: it can neither end the process nor use its streams, nor an accelerator."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any, NoReturn, TextIO

from headwise.checker.user_code.devices import on_processor
from headwise.checker.user_code.numpy_guard import np, unchanged_numpy
from headwise.errors import UserCodeError


@contextlib.contextmanager
def user_code() -> Iterator[None]:
    """Discard what the block prints, and undo what it does to the streams, the built-in functions and `os._exit`.

    The block cannot end the process: `os._exit` raises SystemExit, and what is no `Exception` becomes a
    `UserCodeError`. Ctrl-C still interrupts it.
    """
    functions, leave, process, stdin = vars(builtins).copy(), os._exit, os.getpid(), sys.stdin

    def exit_(status: int) -> NoReturn:
        if os.getpid() != process:  # a child of the block, which has to end
            leave(status)
        raise SystemExit(status)

    os._exit = exit_
    sys.stdin = io.StringIO()  # nobody answers
    try:
        with contextlib.redirect_stdout(_nowhere("out")), contextlib.redirect_stderr(_nowhere("err")), on_processor():
            yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UserCodeError from error
    finally:
        os._exit, sys.stdin = leave, stdin
        if vars(builtins) != functions:
            vars(builtins).update(functions)


@contextlib.contextmanager
def quiet_user_code() -> Iterator[None]:
    """As `user_code`, also without warnings, and undoing what the block does to NumPy."""
    with unchanged_numpy(), np.errstate(all="ignore"), warnings.catch_warnings(), user_code():
        warnings.simplefilter("ignore")
        yield


_streams: dict[str, TextIO] = {}


class _Nowhere(io.RawIOBase):
    """Where output is discarded."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)

    def fileno(self) -> int:
        return _null_device()


def _nowhere(name: str) -> TextIO:
    """The stream to nowhere of this name, or another one if a block has closed or detached it."""
    stream = _streams.get(name)
    if stream is None or not _is_open(stream):
        stream = _streams[name] = io.TextIOWrapper(io.BufferedWriter(_Nowhere()), encoding="utf-8")
    return stream


def _is_open(stream: TextIO) -> bool:
    try:
        return not stream.closed
    except ValueError:  # it is detached
        return False


@cache
def _null_device() -> int:
    return os.open(os.devnull, os.O_RDWR)
