"""Layers without weights that take queries, keys and values in one argument, such as (B, N, 3, H, d)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from headwise.checker.arguments.roles import role_of
from headwise.checker.calling.responses import bare
from headwise.checker.modules.layer import Layer
from headwise.checker.user_code.numpy_guard import np

_PLACES = {"BNHd": (2, 3, 1), "BHNd": (1, 0, 2)}  # of the axis of queries, keys and values among the others
_SIZES = {"B": 2, "N": 5, "H": 3, "d": 4}


def with_separate_arguments(layer: Layer) -> tuple[Callable[..., Any], str]:
    """Return the call of a layer with arguments q, k and v in place of a packed one, and their axes.

    The layer's own call, and no axes, where it takes nothing packed. Fewer queries than keys are filled up with zeros,
    and so are narrower values; what they add to the output is cut off.
    """
    signature = inspect.signature(layer.forward)
    required = [p for p in signature.parameters.values() if p.default is p.empty]
    if len(required) != 1 or role_of(required[0].name) != "Wqkv":
        return layer.forward, ""
    packed = required[0].name
    for axes, places in _PLACES.items():
        for place in places:
            sizes = [_SIZES[axis] for axis in axes]
            tokens = np.random.default_rng(0).normal(size=(3, *sizes))
            try:
                result = layer.forward(**{packed: layer.convert(np.stack(list(tokens), axis=place))})
            except Exception:  # whatever somebody's layer raises: it takes another shape
                continue
            output = result[0] if isinstance(result, tuple) else result
            if tuple(output.shape) == tuple(sizes):
                return _separated(layer, packed, axes, place), axes
    return layer.forward, ""


def _separated(layer: Layer, packed: str, axes: str, place: int) -> Callable[..., Any]:
    signature = inspect.signature(layer.forward)
    others = [p.replace(kind=p.KEYWORD_ONLY) for name, p in signature.parameters.items() if name != packed]
    streams = [inspect.Parameter(x, inspect.Parameter.POSITIONAL_OR_KEYWORD) for x in "qkv"]
    tokens = axes.index("N")

    @functools.wraps(layer.forward)
    def forward(q: Any, k: Any, v: Any, **kwargs: Any) -> Any:
        arrays = [bare(a) for a in (q, k, v)]
        count, width = arrays[0].shape[tokens], arrays[2].shape[-1]
        shape = tuple(np.maximum(arrays[0].shape, arrays[1].shape))
        if arrays[1].shape != shape or width > shape[-1]:
            raise ValueError(f"one argument holds no queries {q.shape}, keys {k.shape} and values {v.shape}")
        filled = [np.pad(a, [(0, side - length) for side, length in zip(shape, a.shape, strict=True)]) for a in arrays]
        result = layer.forward(**{packed: layer.convert(np.stack(filled, axis=place))}, **kwargs)
        output = result[0] if isinstance(result, tuple) else result
        return output[:, :count, :, :width] if axes == "BNHd" else output[:, :, :count, :width]

    vars(forward)["__signature__"] = signature.replace(parameters=[*streams, *others])
    return forward
