"""A submission in a separate process, and proxies for its functions that the checker can call.

The inputs, the reference and every comparison stay in the grader's process; a proxy sends the arguments of one call
over a socket and reads a reply that can only contain numbers. Nothing of the submission is ever executed here.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

import headwise
from headwise.errors import HeadwiseError
from headwise.grading.sandbox.worker.protocol import HEADER, Value, decode, encode
from headwise.grading.signature import signature_of

HIDDEN = Path(headwise.__file__).parent  # from the submission
_START = """
import sys
sys.path.insert(0, sys.argv[1])
from worker.main import main
del sys.path[0]
main(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6], sys.argv[7:])
"""
_ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": os.environ.get("HOME", "/"), "MPLBACKEND": "Agg"}
ENVIRONMENT |= {"PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": "", **_ONE_THREAD}

# matplotlib writes a list of fonts when it is first imported, torch starts a program
_EARLY = {"matplotlib.pyplot": re.compile(r"\b(matplotlib|pylab|seaborn)\b"), "torch": re.compile(r"\btorch\b")}
_START_UP = 60.0  # seconds for Python and NumPy themselves, on a busy machine


class SubmissionError(HeadwiseError):
    """A submission's process ended, or replied in another form than the protocol's."""


class AnswerError(HeadwiseError, TypeError):
    """A function of a submission returned something that is no array of numbers."""


_RAISED: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        *(TypeError, ValueError, IndexError, KeyError, AttributeError, NameError, UnboundLocalError),
        *(ZeroDivisionError, AssertionError, NotImplementedError, RuntimeError, AnswerError),
        *(OverflowError, FloatingPointError, RecursionError, EOFError),
    )
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one submission may use.

    Attributes
    ----------
    seconds_per_call : float
        Wall-clock time of one call, and of running the file once.
    seconds_in_all : float
        Wall-clock time of all calls for one task.
    memory_mb : int
        Address space besides that of Python and the libraries.
    seconds_per_statement : float
        Wall-clock time of one statement of the file, which then fails without ending the rest; in any case at most half
        of what is left of the time for the file.
    answer_mb : int
        Size of one reply beyond the arguments, which a function may modify and which are then sent back; those to the
        checker's probes are far below one megabyte.
    """

    seconds_per_call: float = 10.0
    seconds_in_all: float = 30.0
    memory_mb: int = 2048
    answer_mb: int = 1
    seconds_per_statement: float = math.inf


class Sandbox:
    """A confined process that has run one submission's files.

    Parameters
    ----------
    files : mapping of str to str
        Names and source texts; the files can import one another.
    main : str
        The name of the file to run.
    limits : Limits
        What it may use.
    folder : Path, optional
        A folder in which it runs and whose files it can read; by default it can read no files but Python's own.
    module : str
        The name of the module that the main file is; ``"__main__"`` if it is to be run as a program.

    Attributes
    ----------
    unconfined : tuple of str
        What this system could not confine, in words; empty if everything is confined.
    failed : tuple of (int, str)
        Lines of the main file whose statement raised, and the error; the others ran.

    Raises
    ------
    SubmissionError
        If the file is not Python, or the process ended or ran out of time while running it.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        main: str,
        limits: Limits = Limits(),
        *,
        folder: Path | None = None,
        module: str = "submission",
    ) -> None:
        self.limits = limits
        self._left = limits.seconds_in_all
        self._source = files[main]
        self._end = ""
        self._socket, theirs = socket.socketpair()
        seconds = int(limits.seconds_in_all) + 2  # a backstop; the wall clock is what counts
        options = [str(theirs.fileno()), str(limits.memory_mb << 20), str(seconds), str(HIDDEN)]
        options.append(str(folder.resolve()) if folder else "")
        options += early_imports(files.values())
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-B", "-c", _START, str(Path(__file__).parent), *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd=folder or "/",
                env=ENVIRONMENT,
                start_new_session=True,
            )
        try:
            self.unconfined: tuple[str, ...] = self._receive(_START_UP, "while starting")
            content = (tuple(files.items()), main, module, limits.seconds_per_statement, limits.seconds_per_call)
            broken = self._request(content, "while its file was read")
            if broken is not None:
                raise SubmissionError(f"it is not Python: {printable(broken)}")
            failed = self._receive(limits.seconds_per_call, "while its file was run")
            self.failed = tuple((int(line), printable(message)) for line, message in failed)
        except (TypeError, ValueError):  # a reply of another form than ours
            raise SubmissionError(self._ended("it wrote into the grader's channel")) from None
        finally:
            if not hasattr(self, "failed"):
                self.close()

    @property
    def end(self) -> str:
        """How the process ended early, in words; empty while it runs."""
        return self._end

    def function(self, name: str, *, tensors: bool = False, title: str = "") -> Proxy:
        """A proxy for a function of the submission; set `tensors` for one that takes torch's tensors.

        It has the name `title`, for one that is called through another.
        """
        return Proxy(self, name, signature_of(self._source, name), tensors, title)

    def define(self, source: str) -> None:
        """Run more code after that of the file, such as a function that makes a call in another way."""
        self.evaluate(f"exec({source!r}, globals())")
        self._source += source

    def values(self) -> dict[str, Any]:
        """The arrays, lists of arrays and whole numbers that the file defines, by the expression that gives each.

        Raises
        ------
        SubmissionError
            If the process has ended, now or before.
        """
        reply = self._request(("values",), "while its arrays were read")
        try:
            return {str(name): value for name, value in reply}
        except (TypeError, ValueError):
            raise SubmissionError(self._ended("it wrote into the grader's channel")) from None

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the file's own names; raises errors as `call` does."""
        reply = self._request(("evaluate", expression), f"while {printable(expression)} was evaluated")
        return self._answer(reply, {})

    def call(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, tensors: bool = False) -> Any:
        """Call a function of the submission.

        Arguments that it modified in place are modified here too, so that the checker can detect it.

        Raises
        ------
        SubmissionError
            If the process has ended, now or before.
        Exception
            Of the same kind as the function raised.
        """
        return self._call(("call", name), args, kwargs, name, tensors)

    def construct(self, name: str, arguments: Mapping[str, Any]) -> tuple[int, list[tuple[str, Any]]]:
        """Make an object of a class: its number, and the values that it holds by their paths; errors as for `call`."""
        reply = self._request(("construct", name, _sendable(arguments)), f"while {name} was made")
        match self._answer(reply, {}):
            case int(number), tuple(values) if all(isinstance(v, tuple) and len(v) == 2 for v in values):
                return number, [(path, value) for path, value in values if isinstance(path, str)]
        raise SubmissionError(self._ended("it wrote into the grader's channel"))

    def call_method(
        self, number: int, name: str, arrays: Mapping[str, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call a method of an object that holds these arrays in place of its own; errors as for `call`."""
        return self._call(("method", number, name, dict(arrays)), args, kwargs, name)

    def _call(
        self, what: tuple[Value, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str, *more: Value
    ) -> Any:
        arguments: dict[int | str, Any] = {i: _sendable(value) for i, value in enumerate(args)}
        arguments |= {key: _sendable(value) for key, value in kwargs.items()}
        named = tuple((key, arguments[key]) for key in kwargs)
        message = (*what, tuple(arguments[i] for i in range(len(args))), named, *more)
        return self._answer(self._request(message, f"in a call of {name}"), arguments)

    def _answer(self, reply: Value, arguments: dict[int | str, Any]) -> Any:
        """What a call returned; arguments that it modified are updated, and its error is raised."""
        match reply:
            case ("answered", answer, tuple(changed)):
                for key, array in (pair for pair in changed if isinstance(pair, tuple) and len(pair) == 2):
                    mine = arguments.get(key) if isinstance(key, int | str) else None
                    if isinstance(mine, np.ndarray) and isinstance(array, np.ndarray) and mine.flags.writeable:
                        with contextlib.suppress(ValueError, TypeError):
                            np.copyto(mine, array, casting="no")
                return answer
            case ("raised", str(kind), str(message), int(line)):
                error = printable(message) + (f" (line {line})" if line else "")
                if kind in _RAISED:
                    raise _RAISED[kind](error.removeprefix(kind).removeprefix(": ").strip())
                raise SubmissionError(error)
        raise SubmissionError(self._ended("it wrote into the grader's channel"))

    def close(self) -> None:
        """Kill the process."""
        self._socket.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _request(self, message: Value, doing: str) -> Value:
        """Send a message and receive the reply, within the time for one call."""
        if self._end:
            raise SubmissionError(self._end)
        data = encode(message)
        started = time.monotonic()
        allowed = min(self.limits.seconds_per_call, self._left)
        try:
            self._socket.settimeout(allowed)
            self._socket.sendall(HEADER.pack(len(data)) + data)
        except OSError as error:
            raise SubmissionError(self._lost(error, allowed, doing)) from None
        reply = self._receive(allowed, doing, len(data))
        self._left = max(self._left - (time.monotonic() - started), 1e-3)
        return reply

    def _receive(self, seconds: float, doing: str, arguments: int = 0) -> Value:
        """Receive a reply of at most `answer_mb` and as many bytes as the arguments had."""
        deadline = time.monotonic() + seconds
        try:
            (length,) = HEADER.unpack(self._read(HEADER.size, deadline))
            if length > (self.limits.answer_mb << 20) + arguments:
                raise SubmissionError(self._ended(f"it gave an answer of more than {self.limits.answer_mb} MB {doing}"))
            return decode(self._read(length, deadline))
        except ValueError:  # WireError, and any error of NumPy for bytes that are no message
            raise SubmissionError(self._ended("it wrote into the grader's channel")) from None
        except OSError as error:
            raise SubmissionError(self._lost(error, seconds, doing)) from None

    def _read(self, count: int, deadline: float) -> bytearray:
        data = bytearray()
        while len(data) < count:
            self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            more = self._socket.recv(min(count - len(data), 1 << 20))
            if not more:
                raise ConnectionResetError
            data += more
        return data

    def _lost(self, error: OSError, seconds: float, doing: str) -> str:
        """Why there is no reply: too slow, or the process has ended, and how."""
        if isinstance(error, TimeoutError):
            return self._ended(f"it did not come to an end within {seconds:.3g} s {doing}")
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return self._ended(f"it closed the grader's channel {doing}")
        if status < 0:
            return self._ended(f"it crashed ({signal.Signals(-status).name}) {doing}")
        return self._ended(f"it ended its own process (exit status {status}) {doing}")

    def _ended(self, reason: str) -> str:
        self._end = self._end or reason
        self.close()
        return self._end


class Proxy:
    """A function of a submission: calling it calls the other process."""

    in_sandbox = True  # which the checker looks up, as arrays of many tokens exceed the limits of an answer

    def __init__(
        self, sandbox: Sandbox, name: str, signature: inspect.Signature | None, tensors: bool = False, title: str = ""
    ) -> None:
        self.__name__ = self.__qualname__ = title or name
        self._sandbox, self._called = sandbox, name
        self.tensors = tensors
        if signature is not None:
            self.__signature__ = signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the submission's function; see `Sandbox.call`."""
        return self._sandbox.call(self._called, args, kwargs, tensors=self.tensors)


def _sendable(value: Any) -> Value:
    """An argument in a form that can be sent: NumPy scalars as Python's, lists as tuples."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return tuple(_sendable(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _sendable(item) for key, item in value.items()}
    return value


def early_imports(texts: Iterable[str]) -> list[str]:
    """Libraries that source texts use and that have to be imported before the process is confined."""
    return [name for name, used in _EARLY.items() if any(used.search(text) for text in texts)]


def printable(text: Any) -> str:
    """Text from a submission in one line, without control characters, shortened to 300."""
    line = "".join(c if c.isprintable() else " " for c in str(text))
    return line if len(line) <= 300 else line[:299] + "…"
