"""Empty caches of the class that a module's file has for them."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from headwise.checker.arguments.settings import SIZES
from headwise.checker.modules.construct import construct

_COMPUTES = {"forward", "__call__", "call"}  # methods of layers that have a cache, which may be named for it


def own_caches(function: Callable[..., Any], argument: str, shape: tuple[int, ...]) -> list[Callable[[], Any]]:
    """What makes an empty cache of the class that annotates an argument, or that is named as a cache in its file.

    `shape` (B, G, M, d) is that of the keys that it has to hold.
    """
    file = inspect.unwrap(function).__module__
    classes = [cls for cls in vars(sys.modules[file]).values() if inspect.isclass(cls) and cls.__module__ == file]
    annotation = inspect.signature(function).parameters[argument].annotation
    words = set(re.findall(r"\w+", str(annotation)))
    annotated = [cls for cls in classes if cls.__name__ in words]
    named = [cls for cls in classes if cls.__name__.endswith("Cache") and not _COMPUTES & _names_of(cls, file)]
    items, heads, length, width = shape
    sizes = SIZES | {"batch": items, "heads": heads, "key_heads": heads, "length": length, "width": width}
    sizes |= {"values": width, "model": heads * width}
    return [partial(_empty, cls, sizes) for cls in annotated or named]


def _names_of(cls: type, file: str) -> set[str]:
    """The names that the classes of a file define."""
    return {name for base in cls.__mro__ if base.__module__ == file for name in vars(base)}


def _empty(cls: type, sizes: dict[str, int]) -> Any:
    return next(construct(cls, {}, only=sizes))
