"""Functions that other frameworks have made, as Python calls them: scripts of torch, and functions of `jax.vmap`."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any

_OF_JAX = "/jax/_src/"  # in the file of what transforms functions


def with_python_signature(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, with the name and the arguments of its script, or with arguments by name for JAX's."""
    if _is_mapped(function):
        return _by_name(function)
    stated = getattr(getattr(function, "schema", None), "arguments", None)
    if stated is None or inspect.isroutine(function):
        return function

    def same(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    parameters = [
        inspect.Parameter(
            argument.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=argument.default_value if argument.has_default_value() else inspect.Parameter.empty,
        )
        for argument in stated
    ]
    functools.update_wrapper(same, function)
    same.__name__ = str(getattr(function, "name", same.__name__))
    vars(same)["__signature__"] = inspect.Signature(parameters)
    return same


def _is_mapped(function: Any) -> bool:
    """Whether JAX has made it, as with `vmap`, which takes arguments by their places only."""
    while function is not None:
        code = getattr(function, "__code__", None)
        if code is not None and _OF_JAX in code.co_filename.replace(os.sep, "/"):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def _by_name(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which takes its arguments by name too."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def by_name(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return function(*bound.args, **bound.kwargs)

    return by_name
