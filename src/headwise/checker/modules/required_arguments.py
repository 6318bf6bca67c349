"""Arguments with a default with which a layer cannot do: contexts, masks and biases that its code uses in any case."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

from headwise.checker.arguments.roles import role_of
from headwise.checker.arguments.signatures import with_signature
from headwise.checker.modules.layer import Layer

_MAY_BE_NEEDED = ("context", "mask", "padding", "bias")


def with_required(forward: Callable[..., Any], names: Iterable[str]) -> Callable[..., Any]:
    """The same call, of which these arguments have no default any more."""
    signature = inspect.signature(forward)
    kinds = inspect.Parameter
    required = [signature.parameters[name].replace(kind=kinds.KEYWORD_ONLY, default=kinds.empty) for name in names]
    others = [p for name, p in signature.parameters.items() if name not in [p.name for p in required]]
    place = next((n for n, p in enumerate(others) if p.kind is p.VAR_KEYWORD), len(others))
    return with_signature(forward, signature.replace(parameters=[*others[:place], *required, *others[place:]]))


def with_needed_options(layer: Layer) -> Iterator[Layer]:
    """The layer with contexts, masks and biases that are None by default as arguments that have to be passed."""
    optional = {name: role_of(name) for name, p in layer.arguments.items() if p.default is None}
    roles = [role for role in _MAY_BE_NEEDED if role in optional.values()]
    for count in range(1, len(roles) + 1):
        for some in combinations(roles, count):
            names = [name for name, role in optional.items() if role in some]
            yield replace(layer, forward=with_required(layer.forward, names))
