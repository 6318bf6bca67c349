"""Load a submission and answer calls to its functions, over one socket, until the other end closes it.

A submission can change anything in this process, this file included; that only lets it choose what it replies.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.abc
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np

from .confinement import confine
from .protocol import HEADER, Value, decode, encode

__all__ = ["main"]

_MAIN = "submission"


def main(socket: int, memory: int, seconds: int, hidden: str, early: Sequence[str]) -> None:
    """Confine this process, and then answer the grader's calls.

    Libraries that write a file when they are imported are imported early, before writing is forbidden.
    """
    for name in early:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _send(socket, confine(memory, seconds, [hidden]))
    files, main_file = _receive(socket)
    sources = dict(files)
    try:
        tree = ast.parse(sources[main_file], main_file)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        _send(socket, _describe(error))
        return
    _send(socket, None)
    sys.meta_path.insert(0, _Siblings({name.removesuffix(".py"): text for name, text in files if name != main_file}))
    module = ModuleType(_MAIN)
    sys.modules[_MAIN] = module
    _send(socket, _run(tree, main_file, module))
    while True:
        name, args, kwargs = _receive(socket)
        _send(socket, _call(getattr(module, name, None), list(args), dict(kwargs), main_file))


def _run(tree: ast.Module, filename: str, module: ModuleType) -> tuple[tuple[int, str], ...]:
    """Run the statements one by one, also after one that fails: a broken plot must not cost the functions."""
    failed: list[tuple[int, str]] = []
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    for node in tree.body:
        try:
            block = ast.Module([*future, node] if node not in future else [node], [])
            exec(compile(block, filename, "exec"), vars(module))
        except BaseException as error:
            failed.append((node.lineno, _describe(error)))
    return tuple(failed[:20])


def _call(function: Any, args: list[Value], kwargs: dict[str, Value], filename: str) -> Value:
    """Call a function; its result, and the arguments that it modified in place."""
    arguments: dict[int | str, Value] = dict(enumerate(args))
    arguments.update((key, value) for key, value in kwargs.items())
    before = {key: value.tobytes() for key, value in arguments.items() if isinstance(value, np.ndarray)}
    try:
        if not callable(function):
            raise TypeError("there is no function of that name once the file has run")
        answer = _plain(function(*args, **kwargs))
        changed = tuple((key, arguments[key]) for key, raw in before.items() if arguments[key].tobytes() != raw)
        encode(("answered", answer, changed))  # so that a result that cannot be sent is an error of this call
    except BaseException as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == filename]
        kind = next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")
        return "raised", kind, _describe(error), (lines or [0])[-1] or 0
    return "answered", answer, changed


def _plain(result: Any) -> Value:
    """A return value as arrays: a tuple or a list of arrays as a tuple, anything else as one array."""
    if isinstance(result, tuple) or (isinstance(result, list) and all(getattr(item, "ndim", 0) for item in result)):
        return tuple(_plain(item) for item in result[:8])
    if result is None:
        return None
    detach: Callable[[], Any] | None = getattr(result, "detach", None)
    array = np.asarray(detach() if detach else result)
    if array.dtype.hasobject or array.dtype.kind not in "?biufc":
        raise TypeError(f"it returned {type(result).__name__}, which is no array of numbers")
    return array


class _Siblings(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports from the submission's other files, which are in memory."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname in self.sources else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.sources[module.__name__], f"{module.__name__}.py", "exec"), vars(module))


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:500]
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
