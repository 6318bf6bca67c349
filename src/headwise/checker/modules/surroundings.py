"""The variables around a function that its code uses, and copies of it for which they have other values."""

from __future__ import annotations

import contextlib
import dis
import inspect
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType
from typing import Any, get_origin


def variables_of(function: FunctionType, classes: bool = False) -> dict[str, Any]:
    """The variables around a function that it uses, and those that functions of the same file use that it calls.

    `classes`: whether classes count, which may hold settings.
    """
    variables: dict[str, Any] = {}
    waiting = [function]
    while waiting:
        for name, value in _used(waiting.pop()):
            if inspect.isfunction(value) and value.__globals__ is function.__globals__:
                if value is not function and name not in variables:
                    waiting.append(value)
                    variables[name] = value
            elif not (inspect.isroutine(value) or inspect.ismodule(value) or (_is_type(value) and not classes)):
                variables[name] = value
    return {name: value for name, value in variables.items() if not inspect.isfunction(value)}


def _is_type(value: Any) -> bool:
    """Whether a value is a class, or stands in annotations, as ``NDArray[np.float64]`` does in those of helpers."""
    return inspect.isclass(value) or get_origin(value) is not None


class Rebound:
    """A copy of a function, and of the functions of its file, that looks variables up in a dictionary of its own.

    Variables of a function around it are in cells, of which it has its own, too.
    """

    def __init__(self, function: FunctionType) -> None:
        self._globals, self._variables = function.__globals__, dict(function.__globals__)
        self._cells: dict[int, CellType] = {}  # by those of the original
        self._named: dict[str, list[CellType]] = {}
        for name, value in function.__globals__.items():
            self._variables[name] = self._copied(value)
        self.function = self._copied(function)

    def assign(self, name: str, value: Any) -> None:
        """Give a variable another value."""
        for cell in self._named.get(name, ()):
            cell.cell_contents = value
        if name not in self._named:
            self._variables[name] = value

    def _copied(self, value: Any) -> Any:
        """A copy of a function of the file; any other value itself."""
        if not inspect.isfunction(value) or value.__globals__ is not self._globals:
            return value
        closure = tuple(map(self._cell, value.__code__.co_freevars, value.__closure__ or ()))
        copied = FunctionType(value.__code__, self._variables, value.__name__, value.__defaults__, closure)
        copied.__kwdefaults__ = value.__kwdefaults__
        return copied

    def _cell(self, name: str, cell: CellType) -> CellType:
        if id(cell) not in self._cells:
            self._cells[id(cell)] = own = CellType()
            self._named.setdefault(name, []).append(own)
            with contextlib.suppress(ValueError):  # of a cell that is empty
                own.cell_contents = self._copied(cell.cell_contents)
        return self._cells[id(cell)]


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The variables around a function that its code mentions: of the function that it was made in, and global ones."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            yield name, cell.cell_contents
    for name in dict.fromkeys(_global_names(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _global_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _global_names(inner)


def may_be_matrix(value: Any) -> bool:
    """Whether a value is an array, a module of torch, or holds some."""
    return hasattr(value, "shape") or hasattr(value, "named_parameters") or isinstance(value, dict | list | tuple)
