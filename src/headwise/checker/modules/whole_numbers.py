"""Whole numbers by which a layer says what its sizes are: attributes, configurations, variables of its file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from types import FunctionType
from typing import Any

from headwise.checker.arguments.settings import CONFIG


def numbers_of_parts(module: Any) -> Iterator[tuple[str, int]]:
    """Those of a torch module and of its parts; the module's own come last and win."""
    yield from numbers_of_file(type(module))
    for part in reversed(list(module.modules())):
        for config in configurations(part):
            yield from _whole(config)
        yield from _whole(_axes_of_heads(part))
        yield from _whole(vars(part))


def _axes_of_heads(part: Any) -> dict[str, Any]:
    """The sizes that a layer of einops splits or joins the features of heads by, as in ``(h d)``."""
    pattern, lengths = getattr(part, "pattern", None), getattr(part, "axes_lengths", None)
    if not isinstance(pattern, str) or not isinstance(lengths, dict):
        return {}
    return {name: n for name, n in lengths.items() if re.search(rf"\({name} d\w*\)|\(d\w* {name}\)", pattern)}


def numbers_of_file(cls: type) -> Iterator[tuple[str, int]]:
    """Those that the methods of a class, and of its base classes there, read as variables of its file."""
    bases = [base for base in reversed(cls.__mro__) if base.__module__ == cls.__module__]
    for method in (value for base in bases for value in vars(base).values()):
        if isinstance(method, FunctionType):
            yield from _whole({name: method.__globals__.get(name) for name in method.__code__.co_names})


def _whole(values: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The whole numbers among values, by name."""
    for key, value in values.items():
        if isinstance(value, int) and not isinstance(value, bool) and not key.startswith("_"):
            yield key, value


def configurations(module: Any) -> Iterator[Mapping[str, Any]]:
    """The attributes of a torch module's configurations."""
    for key, value in vars(module).items():
        if is_dataclass(value) or CONFIG.fullmatch(key):
            yield value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
