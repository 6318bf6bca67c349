"""The arrays, lists of arrays and whole numbers of a module, by the expression that gives each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

__all__ = ["named_values"]

_MOST = 500  # values
_LISTED = 64  # dicts or modules in a list
_ELEMENTS = 2_000_000  # of one value


def named_values(names: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Everything numeric among the variables, the items of their dicts and the attributes of their objects."""
    found: list[tuple[str, Any]] = []
    for name, value in names.items():
        if name.startswith("__") or isinstance(value, ModuleType | FunctionType | type):
            continue
        for entry in _entries(name, value):
            if len(found) < _MOST:
                found.append(entry)
    return tuple(found)


def _entries(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < 2**62:
            yield name, value
        return
    try:
        plain = _numeric(value)
    except Exception:  # whatever an object of the submission does when it is converted
        return
    if plain is not None:
        yield name, plain
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value[:_LISTED]):
            if isinstance(item, dict) or hasattr(item, "named_parameters"):
                yield from _entries(f"{name}[{i}]", item)
    elif isinstance(value, dict):
        for key, item in list(value.items()):
            if isinstance(key, str) and (plain := _try_numeric(item)) is not None:
                yield f"{name}[{key!r}]", plain
    else:
        yield from _attributes(name, value)


def _attributes(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The parameters of a torch module, or the arrays of another object; and its whole numbers."""
    try:
        attributes = dict(vars(value))
    except TypeError:
        return
    try:
        parameters = dict(value.named_parameters())
    except Exception:
        parameters = {key: item for key, item in attributes.items() if not key.startswith("__")}
    for key, item in parameters.items():
        if (plain := _try_numeric(item)) is not None:
            yield f"{name}.{key}", plain
    for key, item in attributes.items():
        if isinstance(item, int) and not isinstance(item, bool) and abs(item) < 2**62:
            yield f"{name}.{key}", item


def _try_numeric(value: Any) -> Any:
    try:
        return _numeric(value)
    except Exception:
        return None


def _numeric(value: Any) -> Any:
    """An array, or a tuple of arrays; None for anything else."""
    if isinstance(value, list | tuple) and value and all(getattr(item, "ndim", 0) for item in value):
        arrays = tuple(_array(item) for item in value)
        return arrays if all(array is not None for array in arrays) else None
    if isinstance(value, str | bytes | dict | set) or callable(value):
        return None
    return _array(value)


def _array(value: Any) -> Any:
    """Numbers in one or more axes, neither empty nor too large to send."""
    if not isinstance(value, list | tuple) and not hasattr(value, "shape"):
        return None
    detach = getattr(value, "detach", None)
    array = np.asarray(detach().cpu() if detach else value)
    if array.dtype.kind not in "iuf" or not 1 <= array.ndim <= 4 or not 1 <= array.size <= _ELEMENTS:
        return None
    return array.astype(np.float64) if array.dtype.kind == "f" and array.dtype.itemsize > 8 else array
