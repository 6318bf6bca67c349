"""Methods of objects that keep what they are given, as a cache of keys and values does, as functions without memory."""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from headwise.checker.user_code.numpy_guard import np

_KEEPS = r"self\.\w+(\.(append|extend)\(|(\[[^\n]*\])?\s*=(?!=)|\s*,\s*self\.\w+\s*=)"


def keeps_what_it_is_given(function: Callable[..., Any]) -> bool:
    """Whether a function is a method of an object that methods change."""
    if not inspect.ismethod(function) or inspect.isclass(function.__self__):
        return False
    methods = [f for name, f in vars(type(function.__self__)).items() if inspect.isfunction(f) and name != "__init__"]
    try:
        return any(re.search(_KEEPS, inspect.getsource(method)) for method in methods)
    except (OSError, TypeError):
        return False


def at_once(method: Any) -> Callable[..., Any]:
    """The method of the object as it is now, each time that it is called."""

    @functools.wraps(method)
    def of_a_copy(*args: Any, **kwargs: Any) -> Any:
        return _copied(method)(*args, **kwargs)

    return of_a_copy


def one_by_one(method: Any) -> Callable[..., Any]:
    """The method called for each token in turn, with a row of each array, or a vector where it takes no rows."""

    @functools.wraps(method)
    def in_turn(*args: Any, **kwargs: Any) -> Any:
        arrays = [a for a in (*args, *kwargs.values()) if hasattr(a, "shape")]
        if len({(len(a), a.ndim) for a in arrays}) != 1 or arrays[0].ndim != 2:
            raise ValueError("expected as many queries as keys and values, in rows")

        def outputs(places: list[Any]) -> list[Any]:
            call, rows = _copied(method), []
            for i in places:
                own = {name: a[i] if hasattr(a, "shape") else a for name, a in kwargs.items()}
                result = call(*(a[i] if hasattr(a, "shape") else a for a in args), **own)
                rows.append(result[0] if isinstance(result, tuple) else result)
            return rows

        count = len(arrays[0])
        join: Callable[..., Any] = np.concatenate
        places: list[Any] = [slice(i, i + 1) for i in range(count)]
        try:
            rows = outputs(places)
        except Exception:  # whatever it raises that takes vectors
            places, join = list(range(count)), np.stack
            rows = outputs(places)
        if count > 1 and np.array_equal(rows[-1], outputs(places[-1:])[0]):
            raise ValueError("it uses nothing that it has kept")
        return join(rows)

    return in_turn


def _copied(method: Any) -> Any:
    return getattr(copy.deepcopy(method.__self__), method.__name__)
