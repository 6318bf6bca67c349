"""Layers without weights that store the width of a head, or a scale that is made from it.

Code that makes such a layer gives it the width that the queries will have, or its root. They are made again for each
width with which they are called.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from headwise.checker.arguments.roles import role_of
from headwise.checker.arguments.settings import CONFIG, SIZES, role_of_setting
from headwise.checker.modules.construct import names_of, with_sizes
from headwise.checker.modules.layer import Layer

_OF_WIDTH = frozenset({"width", "values", "model", "temperature", "scale"})
_ROOT = re.compile(r"temp|scal|sqrt|norm_?f|denom|divisor|root", re.IGNORECASE)
_PLAIN = (bool, int, float, str, type(None))


def with_width_of_queries(layer: Layer, part: Any, layer_of: Callable[[Any], Layer]) -> Layer:
    """The layer with the width of its queries for what it stores of it; itself where that is nothing.

    `part`: what it is a copy of.
    `layer_of`: copies a part.
    """
    names, stored = names_of(type(part)), _plain_attributes(part)
    resized = [name for name in names if _of_width(name, stored.get(name)) or CONFIG.fullmatch(name.lower())]
    if not resized:
        return layer
    kept = {name: stored[name] for name in names if name in stored and name not in resized}
    layers: dict[int, Layer] = {}

    @functools.wraps(layer.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        width = _width(inspect.signature(layer.forward).bind(*args, **kwargs).arguments)
        if width not in layers:
            layers[width] = layer_of(_resized(part, kept, width, names))
        return layers[width].forward(*args, **kwargs)

    return replace(layer, forward=forward, note=f"{', '.join(resized)} set by the width of its queries")


def _of_width(name: str, value: Any) -> bool:
    """Whether an argument is a width or a root of one, and no axis, such as -1."""
    return role_of_setting(name) in _OF_WIDTH and not (isinstance(value, int | float) and value < 0)


def _plain_attributes(part: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(part).items() if isinstance(value, _PLAIN)}


def _width(arguments: Mapping[str, Any]) -> int:
    """The width of the queries, or of the first argument."""
    queries = next((a for name, a in arguments.items() if role_of(name) == "q"), next(iter(arguments.values())))
    return int(queries.shape[-1])


def _resized(part: Any, kept: Mapping[str, Any], width: int, names: list[str]) -> Any:
    """A layer for queries of this width: made again, or a copy in which widths and roots of them are replaced."""
    heads = SIZES["heads"] if any(role_of_setting(name) == "heads" for name in names) else 1
    heads = next((value for name, value in kept.items() if role_of_setting(name) == "heads"), heads)
    sizes = SIZES | {"model": width * heads, "width": width, "values": width}
    try:
        return with_sizes(type(part), kept, sizes)
    except Exception:  # whatever somebody's constructor raises: not all of its arguments are known
        clone = copy.deepcopy(part)
    numbers = {name: value for name, value in _plain_attributes(part).items() if type(value) in (int, float)}
    widths = {name: value for name, value in numbers.items() if role_of_setting(name) in ("width", "model")}
    for name, value in numbers.items():
        powers = [p for p in (0.5, -0.5) for stored in widths.values() if stored > 1 and math.isclose(value, stored**p)]
        if name in widths:
            setattr(clone, name, sizes[str(role_of_setting(name))])
        elif _ROOT.search(name) and powers:  # any other factor stays: whether it is the root of a width is not known
            setattr(clone, name, width ** powers[0])
    return clone
