"""Running a user's file or notebook statement by statement: one that fails costs only itself."""

from __future__ import annotations
import __future__

import ast
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, ModuleType

from headwise.checker.user_code.execution import user_code
from headwise.errors import UserCodeError, describe_exception

# What a statement may take, and all together; so no cell that trains a model for minutes is waited for.
_SECONDS, _SECONDS_IN_ALL = 10.0, 60.0
_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_UNLIMITED = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)  # an import cut off leaves half a module


@dataclass(frozen=True)
class Failure:
    """A statement that failed: its line, and the error."""

    line: int
    error: str


class _OutOfTimeError(BaseException):
    """A statement has had its time."""


def run_statements(module: ModuleType, text: str, file: str) -> list[Failure]:
    """Run the statements of a text in a module, and return those that failed or took too long.

    Raises SyntaxError if the text is not Python.
    """
    future = 0  # what has been imported from __future__
    end = time.monotonic() + _SECONDS_IN_ALL
    failures = []
    for statement in ast.parse(text, file).body:
        limited = not isinstance(statement, _UNLIMITED)
        seconds = max(min(_SECONDS, end - time.monotonic()), 0.1) if limited else 0
        try:
            code = compile(ast.Module([statement], []), file, "exec", future, dont_inherit=True)
            future |= code.co_flags & _FUTURE
            with user_code(), _time_limit(seconds), _without_options(file):
                exec(code, vars(module))  # the user's own code, which is to be run
        except UserCodeError as error:
            late = isinstance(error.__cause__, _OutOfTimeError)
            message = f"it was stopped after {seconds:.0f} s" if late else describe_exception(error)
            failures.append(Failure(statement.lineno, message))
        except Exception as error:  # whatever somebody's code raises
            failures.append(Failure(statement.lineno, describe_exception(error)))
    return failures


@contextmanager
def _without_options(file: str) -> Iterator[None]:
    """The command line of a file that is run alone, for scripts that parse it."""
    before, sys.argv = sys.argv, [file]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the block after so many seconds, 0 for never, where the system and the thread allow it."""
    possible = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not seconds or not possible:
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # and again, should the code catch it
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
