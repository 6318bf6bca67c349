"""Parameters: one flat dict of arrays with dotted names, and the views a layer sees of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from headwise.shapes import Array

Params = dict[str, Array]


def subtree(params: Mapping[str, Array], prefix: str) -> Params:
    """The parameters below a prefix, by their local names.

    Examples
    --------
    >>> import numpy as np
    >>> list(subtree({"head.weight": np.zeros(1), "norm.gain": np.zeros(1)}, "head"))
    ['weight']
    """
    return {local: params[name] for local, name in _below(tuple(params), prefix + ".")}


def with_prefix(prefix: str, params: Mapping[str, Array]) -> Params:
    """The inverse of `subtree`: local names put below a prefix."""
    return {f"{prefix}.{name}": array for name, array in params.items()}


def join_params(**parts: Mapping[str, Array]) -> Params:
    """The parameters of several parts, each below its own name."""
    return {f"{part}.{name}": array for part, params in parts.items() for name, array in params.items()}


def collect(grads: Params, prefix: str, gradients: tuple[Array, Params]) -> Array:
    """Add what a backward function returned to `grads`, below a prefix; returns the gradient of the input."""
    dx, layer_grads = gradients
    grads |= with_prefix(prefix, layer_grads)
    return dx


@lru_cache(maxsize=1024)
def _below(names: tuple[str, ...], start: str) -> tuple[tuple[str, str], ...]:
    """Local and full names below a prefix; cached, since every step needs the same."""
    return tuple((name.removeprefix(start), name) for name in names if name.startswith(start))


def flatten(params: Mapping[str, Array]) -> Array:
    """All parameters in one vector, in the order of their names."""
    return np.concatenate([params[name].ravel() for name in sorted(params)])


def unflatten(vector: Array, like: Mapping[str, Array]) -> Params:
    """Views of a vector by the names and shapes of `like`: the inverse of `flatten`, without a copy."""
    views, start = {}, 0
    for name in sorted(like):
        stop = start + like[name].size
        views[name] = vector[start:stop].reshape(like[name].shape)
        start = stop
    return {name: views[name] for name in like}
