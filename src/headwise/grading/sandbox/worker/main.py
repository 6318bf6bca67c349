"""Load a submission and answer calls to its functions, over one socket, until the other end closes it.

A submission can change anything in this process, this file included; that only lets it choose what it replies.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import importlib.abc
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

import numpy as np

from .confinement import confine
from .objects import Objects, as_tensor
from .protocol import HEADER, Value, decode, encode
from .values import named_values

_THREADED = ("jax", "tensorflow")  # they end the process where no thread can be started


def main(socket: int, memory: int, seconds: int, hidden: str, folder: str, early: Sequence[str]) -> None:
    """Confine this process, and then answer the grader's calls.

    Libraries that write a file or start a thread when they are imported are imported early, before it is forbidden.
    """
    for name in early:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _send(socket, confine(memory, seconds, [hidden], [folder] if folder else []))
    files, main_file, name, limit, seconds_to_run = _receive(socket)
    sources, sys.argv = dict(files), [main_file]  # for scripts that parse their arguments
    try:
        tree = ast.parse(sources[main_file], main_file)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _send(socket, _describe(error))
        return
    _send(socket, None)
    siblings = _Siblings(sources, main_file)
    sys.meta_path.insert(0, siblings)
    module = ModuleType(name)
    module.__package__ = siblings.package  # for relative imports
    sys.modules[name] = module
    _send(socket, run_statements(tree, main_file, module, limit, seconds_to_run))
    objects = Objects()
    while True:
        match _receive(socket):
            case "call", str(function), tuple(args), tuple(kwargs), bool(tensors):
                _send(socket, _call(getattr(module, function, None), list(args), dict(kwargs), main_file, tensors))
            case "evaluate", str(expression):
                _send(socket, _call(lambda text=expression: eval(text, vars(module)), [], {}, main_file, False))
            case "construct", str(cls), dict(arguments):
                make = partial(objects.construct, getattr(module, cls, None), arguments)
                _send(socket, _call(make, [], {}, main_file, False, tuple))
            case "method", int(number), str(method), dict(arrays), tuple(args), tuple(kwargs):
                call = partial(objects.call, number, method, arrays)
                _send(socket, _call(call, list(args), dict(kwargs), main_file, False))
            case ("values",):
                _send(socket, named_values(vars(module)))


def run_statements(
    tree: ast.Module, filename: str, module: ModuleType, limit: float, total: float = math.inf
) -> tuple[tuple[int, str], ...]:
    """Run the statements one by one, also after one that fails: a broken plot must not cost the functions.

    A statement that takes longer than `limit` seconds fails too, and so does one that takes more than half of what is
    left of the `total`: several endless loops leave time for what follows. Returns the lines of those that failed, with
    their errors.
    """
    end = time.monotonic() + total
    vars(module).update({"display": _do_nothing, "get_ipython": _Shell, "input": _refuse_input})
    failed: list[tuple[int, str]] = []
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    signal.signal(signal.SIGALRM, _out_of_time)
    for node in tree.body:
        try:
            block = ast.Module([*future, node] if node not in future else [node], [])
            code = compile(block, filename, "exec")
            seconds = min(limit, max(end - time.monotonic(), 0.01) / 2)
            signal.setitimer(signal.ITIMER_REAL, seconds if seconds < math.inf else 0)
            exec(code, vars(module))
        except BaseException as error:
            failed.append((node.lineno, _describe(error)))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return tuple(failed[:20])


def _out_of_time(signum: int, frame: object) -> None:
    raise TimeoutError("it took too long and was stopped")


class AnswerError(TypeError):
    """What a function of the submission returned is no answer."""


def _call(
    function: Any,
    args: list[Value],
    kwargs: dict[str, Value],
    filename: str,
    tensors: bool,
    plain: Callable[[Any], Value] | None = None,
) -> Value:
    """Call a function, with arrays as torch's tensors if it takes those; its result, and what it modified in place."""
    arguments: dict[int | str, Value] = dict(enumerate(args))
    arguments.update((key, value) for key, value in kwargs.items())
    before = {key: value.tobytes() for key, value in arguments.items() if isinstance(value, np.ndarray)}
    try:
        if not callable(function):
            raise AnswerError("there is no function of that name once the file has run")
        if tensors:
            args, kwargs = [*map(as_tensor, args)], {key: as_tensor(value) for key, value in kwargs.items()}
        answer = (plain or _plain)(function(*args, **kwargs))
        changed = tuple((key, arguments[key]) for key, raw in before.items() if arguments[key].tobytes() != raw)
        if answer is None and arguments and not changed:
            raise AnswerError("it returned None; is a return missing?")
        encode(("answered", answer, changed))  # so that a result that cannot be sent is an error of this call
    except BaseException as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == filename]
        kind = next(c.__name__ for c in type(error).__mro__ if c is AnswerError or c.__module__ == "builtins")
        return "raised", kind, _describe(error), (lines or [0])[-1] or 0
    return "answered", answer, changed


def _plain(result: Any) -> Value:
    """A return value as arrays: a tuple or a list of matrices as a tuple, names with values as a dict, else one."""
    if dataclasses.is_dataclass(result):
        result = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if isinstance(result, Mapping):
        return {str(key): _plain(value) for key, value in [*result.items()][:8]}
    if isinstance(result, tuple) or (isinstance(result, list) and all(getattr(item, "ndim", 0) > 1 for item in result)):
        return tuple(_plain(item) for item in result[:8])
    if result is None:
        return None
    detach: Callable[[], Any] | None = getattr(result, "detach", None)
    array = np.asarray(detach() if detach else result)
    if array.dtype.hasobject or array.dtype.kind not in "?biufc":
        raise AnswerError(f"it returned {type(result).__name__}, which is no array of numbers")
    return array


def _do_nothing(*args: Any, **kwargs: Any) -> None:
    """What a notebook's shell would show."""


def _refuse_input(prompt: object = "") -> str:
    raise EOFError("input() gets no text where a submission is graded")


class _Shell:
    """Stands for a notebook's shell, whose commands do nothing here."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _do_nothing


class _Siblings(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports from the submission's other files, which are in memory.

    As for a program that somebody starts in the folder of the main file or in one above it. All files are also in one
    package, from which relative imports start.
    """

    _ROOT = "all_files_of_the_submission"

    def __init__(self, sources: dict[str, str], main: str) -> None:
        self.sources = {name: text for name, text in sources.items() if name != main}
        parents = main.split("/")[:-1]
        self.package = ".".join((self._ROOT, *parents))
        self.folders = ["".join(f"{name}/" for name in parents[:n]) for n in range(len(parents), -1, -1)]

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        first, *rest = fullname.split(".")
        if first == "headwise":
            raise ImportError("headwise cannot be imported by a submission that is graded")
        if first in _THREADED:
            raise ImportError(f"{first} starts threads, which a submission that is graded cannot do")
        folders = [""] if first == self._ROOT else self.folders
        name = "/".join(rest if first == self._ROOT else (first, *rest))
        for file in (f"{folder}{name}{end}" for folder in folders for end in ("/__init__.py", ".py")):
            if file in self.sources:
                return ModuleSpec(fullname, self, origin=file, is_package=file.endswith("/__init__.py"))
        is_folder = any(file.startswith(f"{folder}{name}/") for file in self.sources for folder in folders)
        if is_folder and not rest:  # an installed library of that name is first
            is_folder = PathFinder.find_spec(fullname) is None
        return ModuleSpec(fullname, self, is_package=True) if is_folder or not name else None

    def exec_module(self, module: ModuleType) -> None:
        file = module.__spec__.origin if module.__spec__ else None
        if file is not None:
            exec(compile(self.sources[file], file, "exec"), vars(module))


def _describe(error: BaseException) -> str:
    try:
        text = str(error)[:500]
        kind = "" if isinstance(error, AnswerError) else type(error).__name__
        return ": ".join(filter(None, (kind, text)))
    except BaseException:
        return "an error that cannot be printed"


def _send(socket: int, value: Value) -> None:
    message = encode(value)
    data = memoryview(HEADER.pack(len(message)) + message)
    while data:
        data = data[os.write(socket, data) :]


def _receive(socket: int) -> Value:
    return decode(_exactly(socket, HEADER.unpack(_exactly(socket, HEADER.size))[0]))


def _exactly(socket: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = os.read(socket, min(count - len(data), 1 << 20))
        if not more:
            os._exit(0)
        data += more
    return bytes(data)
