"""Objects of the submission's classes: made, described by what they hold, and called with other numbers in them."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

_MOST = 500  # values of one object
_DEPTH = 6  # of objects, dicts and lists in one another


class Settings(dict[str, Any]):
    """A configuration, whose values are attributes and items."""

    __getattr__ = dict.__getitem__


class Objects:
    """The objects that were made, in order."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def construct(self, cls: Any, arguments: Mapping[str, Any]) -> Any:
        """Make an object; its number, and what it holds by the path of attributes to each."""
        if not isinstance(cls, type):
            raise TypeError("there is no class of that name once the file has run")
        made = cls(**{key: Settings(value) if isinstance(value, dict) else value for key, value in arguments.items()})
        if hasattr(made, "named_parameters"):
            made = made.eval().double()
        self._made.append(made)
        held = ((path, _plain(item)) for path, item, _ in _places(made, "", _DEPTH))
        return len(self._made) - 1, tuple(islice((pair for pair in held if pair[1] is not None), _MOST))

    def call(self, number: int, method: str, arrays: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of a copy of an object that holds these arrays in place of its own."""
        made = copy.deepcopy(self._made[number])
        if hasattr(made, "named_parameters") and any(array.dtype == np.float32 for array in arrays.values()):
            made.float()
        places = {path: (item, replace) for path, item, replace in _places(made, "", _DEPTH)}
        for path, array in arrays.items():
            item, replace = places[path]
            if getattr(item, "requires_grad", False):
                item.data = as_tensor(array)
            else:
                replace(as_tensor(array) if hasattr(item, "detach") else array)
        if any(hasattr(item, "detach") for item, _ in places.values()):
            args, kwargs = tuple(map(as_tensor, args)), {key: as_tensor(value) for key, value in kwargs.items()}
        return getattr(made, method)(*args, **kwargs)


def as_tensor(value: Any) -> Any:
    """An array as a tensor that shares its memory; arrays in a tuple as a list of such, those in a dict as a dict."""
    if isinstance(value, tuple):
        return [as_tensor(item) for item in value]
    if isinstance(value, dict):
        return {key: as_tensor(item) for key, item in value.items()}
    return importlib.import_module("torch").from_numpy(value) if isinstance(value, np.ndarray) else value


def _plain(item: Any) -> Any:
    """A number, a flag, a text or an array of numbers; None for anything else."""
    if isinstance(item, bool | float | str) or (isinstance(item, int) and abs(item) < 2**62):
        return item
    detach = getattr(item, "detach", None)
    array = np.asarray(detach() if detach else item) if detach or isinstance(item, np.ndarray) else np.array(None)
    return array if array.dtype.kind in "?iuf" and array.dtype.itemsize <= 8 else None


def _places(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any, Callable[[Any], None]]]:
    """Everything that an object holds, and how to replace each; objects, dicts and lists are entered."""
    for key, item, replace in _items(value):
        inner = f"{path}.{key}" if path else key
        library = isinstance(item, str | np.ndarray | FunctionType | ModuleType | type) or hasattr(item, "detach")
        if depth and not library and (isinstance(item, list | tuple | dict) or hasattr(item, "__dict__")):
            yield from _places(item, inner, depth - 1)
        else:
            yield inner, item, replace


def _items(value: Any) -> Iterator[tuple[str, Any, Callable[[Any], None]]]:
    if isinstance(value, list | tuple):
        setter = getattr(value, "__setitem__", None)
        yield from ((str(i), item, partial(setter, i) if setter else _fixed) for i, item in enumerate(value))
    elif isinstance(value, dict):
        yield from ((str(key), item, partial(value.__setitem__, key)) for key, item in value.items())
    else:
        held = {key: item for key, item in vars(value).items() if not key.startswith("__")}
        if hasattr(value, "named_parameters"):
            held = {key: item for key, item in held.items() if not key.startswith("_")}
            held |= {**value._parameters, **value._buffers, **value._modules}
        yield from ((key, item, partial(setattr, value, key)) for key, item in held.items())


def _fixed(item: Any) -> None:
    raise ValueError("a tuple of arrays cannot be changed")
