"""Functions that numba compiles, with the bounds of arrays checked.

Without, an array of another size than the code expects lets it overwrite any memory of the process.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any


def with_checked_bounds(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which raises IndexError past the end of an array, as do those that it calls."""
    if not _is_unchecked(function):
        return function
    dispatcher: Any = function
    variables = dict(dispatcher.py_func.__globals__)
    name = next((name for name, value in variables.items() if value is function), function.__name__)
    variables[name] = function
    check_bounds(variables)
    checked: Callable[..., Any] = variables[name]
    return checked


def check_bounds(variables: dict[str, Any]) -> None:
    """Replace the compiled functions among the variables of a file by ones that check bounds."""
    for name, value in [*variables.items()]:
        if _is_unchecked(value):
            variables[name] = _recompiled(value, variables)


def _is_unchecked(value: Any) -> bool:
    registry = sys.modules.get("numba.core.registry")
    return registry is not None and isinstance(value, registry.CPUDispatcher) and not value.targetoptions["boundscheck"]


def _recompiled(dispatcher: Any, variables: dict[str, Any]) -> Any:
    """A function like another, whose global names are these variables."""
    python = dispatcher.py_func
    copy = types.FunctionType(python.__code__, variables, python.__name__, python.__defaults__, python.__closure__)
    copy.__kwdefaults__, copy.__doc__, copy.__module__ = python.__kwdefaults__, python.__doc__, python.__module__
    return sys.modules["numba"].jit(**{**dispatcher.targetoptions, "boundscheck": True})(copy)
