"""The arrays, lists of arrays and whole numbers of a module, by the expression that gives each."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

_MOST = 500  # values
_ITEMS = 64  # of one list, dict or object
_DEPTH = 3  # of dicts, lists and objects in one another
_ELEMENTS = 2_000_000  # of one value
_INDEX = re.compile(r"\.(\d+)(?=\.|$)")  # in torch's names of the parts of a module


def named_values(names: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Everything numeric among variables, the items of their dicts and lists and the attributes of their objects."""
    values: list[tuple[str, Any]] = []
    visited: set[int] = set()
    for name, value in names.items():
        if name.startswith("__") or isinstance(value, ModuleType | FunctionType | type):
            continue
        for entry in _entries(name, value, _DEPTH, visited):
            if len(values) < _MOST:
                values.append(entry)
    return tuple(values)


def _entries(name: str, value: Any, depth: int, visited: set[int]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < 2**62:
            yield name, value
        return
    plain = _numeric(value)
    if plain is not None:
        yield name, plain
    elif depth and id(value) not in visited:
        visited.add(id(value))
        below = 0 if _is_of_library(value) else depth - 1
        for expression, item in _members(name, value):
            yield from _entries(expression, item, below, visited)


def _is_of_library(value: Any) -> bool:
    """Whether the class of an object is from a library, such as a figure, whose insides say nothing."""
    module = sys.modules.get(type(value).__module__)
    return getattr(module, "__file__", None) is not None and not hasattr(value, "named_parameters")


def _members(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The items of a dict or list, the parameters of a torch module, or the attributes of another object."""
    try:
        if isinstance(value, list | tuple):
            members = [(f"{name}[{i}]", item) for i, item in enumerate(value[:_ITEMS])]
        elif isinstance(value, Mapping):
            members = [(f"{name}[{key!r}]", value[key]) for key in list(value)[:_ITEMS] if isinstance(key, str | int)]
        elif isinstance(value, str | bytes | set | ModuleType | FunctionType | type) or not hasattr(value, "__dict__"):
            members = []
        elif hasattr(value, "named_parameters"):
            numbers = [(key, item) for key, item in vars(value).items() if isinstance(item, int)]
            named = [*value.named_parameters(), *numbers]
            members = [(_INDEX.sub(r"[\1]", f"{name}.{key}"), item) for key, item in named]
        else:
            private = "_" if _is_of_library(value) else "__"
            members = [(f"{name}.{key}", item) for key, item in vars(value).items() if not key.startswith(private)]
    except Exception:  # whatever an object of the submission does when it is looked into
        return
    yield from members[: 4 * _ITEMS]


def _numeric(value: Any) -> Any:
    """An array, or a tuple of arrays; None for anything else."""
    try:
        if isinstance(value, list | tuple) and value and all(getattr(item, "ndim", 0) for item in value):
            arrays = tuple(_array(item) for item in value)
            return arrays if all(array is not None for array in arrays) else None
        if isinstance(value, str | bytes | Mapping | set) or callable(value):
            return None
        return _array(value)
    except Exception:  # whatever an object of the submission does when it is converted
        return None


def _array(value: Any) -> Any:
    """Numbers in one or more axes, neither empty nor too large to send."""
    if not isinstance(value, list | tuple) and not hasattr(value, "shape"):
        return None
    detach = getattr(value, "detach", None)
    array = np.asarray(detach().cpu() if detach else value)
    if array.dtype.kind not in "iuf" or not 1 <= array.ndim <= 4 or not 1 <= array.size <= _ELEMENTS:
        return None
    return array.astype(np.float64) if array.dtype.kind == "f" and array.dtype.itemsize > 8 else array
