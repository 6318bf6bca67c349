"""Caches for keys and values that hold nothing yet, as somebody's code makes them or as libraries do."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from headwise.checker.arguments.settings import SIZES
from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.calling.responses import bare
from headwise.checker.modules.construct import construct
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_COMPUTES = {"forward", "__call__", "call"}  # methods of layers that have a cache, which may be named for it


class Keeper:
    """A cache in the manner of transformers, which puts the new keys and values after those that it has."""

    def __init__(self, convention: CallingConvention) -> None:
        self._convention, self._kept = convention, list[Array]()

    def __len__(self) -> int:
        return len(self._kept)

    def update(self, keys: Any, values: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Return all keys and values, (B, G, M, d)."""
        new = [np.array(bare(a)) for a in (keys, values)]
        if self._kept:
            new = [np.concatenate(pair, axis=-2) for pair in zip(self._kept, new, strict=True)]
        self._kept = new
        return self._convention.convert(new[0]), self._convention.convert(new[1])

    def get_seq_length(self, *args: Any) -> int:
        """The number of tokens that it has."""
        return int(self._kept[0].shape[-2]) if self._kept else 0


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
