"""Functions that torch has compiled as a script: Python knows neither their arguments nor their names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def with_python_signature(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, with the name and the arguments of its script; any other as it is."""
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
