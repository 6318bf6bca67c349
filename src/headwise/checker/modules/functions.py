"""Functions that use variables of their file or notebook as their matrices."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, SimpleNamespace
from typing import Any

from headwise.checker.arguments.roles import role_of
from headwise.checker.modules.function_sizes import fit, requires_cache, sizes_of
from headwise.checker.modules.inside import attention_sites
from headwise.checker.modules.plain_classes import plain_names
from headwise.checker.modules.surroundings import Rebound, may_be_matrix, variables_of
from headwise.checker.modules.tensorflow_tensors import is_tensorflow_tensor
from headwise.checker.user_code.numpy_guard import np

_PARTS = (("q", "k", "v"), ("Q", "K", "V"), ("query", "key", "value"))  # by which names of matrices differ
_HEADS = (2, 3, 4, 1)  # numbers of heads to pass, where their number is an argument


def holds_matrices(value: Any) -> bool:
    """Whether a value is a function that projects tokens with matrices that are variables around it."""
    if not inspect.isfunction(value) or not any(map(may_be_matrix, variables_of(value).values())):
        return False
    if requires_cache(inspect.signature(value)):
        return False
    instance = object_of(value)
    torch = _torch_of(variables_of(value))
    names = [name for name, _ in instance.named_parameters()] if torch else plain_names(instance)
    return len(attention_sites(names, [""])) == 1


def object_of(function: FunctionType) -> Any:
    """An object with the variables around a function as its attributes, whose forward method calls the function.

    It is a module of torch if one of them is a tensor or a module of torch.
    """
    variables = variables_of(function)
    variables |= _of_other_heads(variables, function)
    variables |= _of_other_projections(variables, function)
    torch = _torch_of(variables)
    places = dict(_places(variables))
    rebound = Rebound(function)
    signature = inspect.signature(function)
    sizes = [p.name for p in signature.parameters.values() if role_of(p.name) == "heads" and p.default is p.empty]

    of_tokens = sizes_of(function, variables, ("items", "tokens"))

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        for name, place in places.items():
            rebound.assign(name, _at(self, place))
        fit(rebound, of_tokens, (*args, *kwargs.values()))
        return rebound.function(*args, **{name: getattr(self, name) for name in sizes}, **kwargs)

    self_parameter = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    others = [p for name, p in signature.parameters.items() if name not in sizes]
    vars(forward)["__signature__"] = signature.replace(parameters=[self_parameter, *others])
    members = {"forward": forward, "__module__": function.__module__, "__wrapped__": function}
    instance = type(function.__name__, (torch.nn.Module,) if torch else (), members)()
    heads: int = max((place[1] + 1 for place in places.values() if len(place) > 1), default=0)
    part = torch.nn.Module if torch else SimpleNamespace
    instance.head = (torch.nn.ModuleList if torch else list)(part() for _ in range(heads))
    for name, place in places.items():
        setattr(_at(instance, place[:-1]), place[-1], _learned(variables[name]) if torch else _plain(variables[name]))
    widths = [side for value in variables.values() for side in getattr(value, "shape", ())]
    for name in sizes:
        setattr(instance, name, next(n for n in _HEADS if not any(width % n for width in widths)))
    return instance


def _places(variables: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Where the object has each variable: ``w_q1`` and ``w_q2`` belong to the first and the second head."""
    numbers: dict[str, tuple[str, int]] = {}
    for name, value in variables.items():
        match = re.fullmatch(r"(\w*?[a-zA-Z])_?(\d+)", name) if may_be_matrix(value) else None
        if match and role_of(name) is not None:
            numbers[name] = match[1], int(match[2])
    order = sorted({number for _, number in numbers.values()})
    for name in variables:
        stem, number = numbers.get(name, (name, 0))
        yield name, ("head", order.index(number), stem) if name in numbers and len(order) > 1 else (name,)


def _of_other_heads(variables: Mapping[str, Any], function: FunctionType) -> dict[str, Any]:
    """The matrices of heads that the function uses only in part, such as ``w_q2`` next to ``w_v2``."""
    numbered = {name: place for name, place in _places(variables) if len(place) > 1}
    stems = {re.sub(r"\d+$", "", name) for name in numbered}
    endings = {name.removeprefix(stem) for name in numbered for stem in stems if name.startswith(stem)}
    names = [stem + ending for stem in stems for ending in endings if ending.isdigit()]
    return {name: function.__globals__[name] for name in sorted(names) if name in function.__globals__}


def _of_other_projections(variables: Mapping[str, Any], function: FunctionType) -> dict[str, Any]:
    """The one matrix of queries, keys or values that the function does not use although it uses the two others."""
    lacking = {"Wq", "Wk", "Wv"} - {role_of(name) for name in variables}
    names = {name.replace(x, y) for name in variables for parts in _PARTS for x in parts for y in parts}
    others = {n: function.__globals__[n] for n in names if n in function.__globals__ and role_of(n) in lacking}
    return others if len(lacking) == len(others) == 1 else {}


def _at(instance: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        instance = instance[key] if isinstance(key, int) else getattr(instance, key)
    return instance


def _torch_of(variables: Mapping[str, Any]) -> Any:
    """The module torch, if one of the variables is a tensor or a module of it."""
    torch = sys.modules.get("torch")
    holds_torch = torch is not None and any(isinstance(v, torch.Tensor | torch.nn.Module) for v in variables.values())
    return torch if holds_torch else None


def _learned(value: Any) -> Any:
    """A tensor of numbers as a parameter of torch."""
    import torch

    is_number = isinstance(value, torch.Tensor) and value.is_floating_point()
    return torch.nn.Parameter(value.detach().clone()) if is_number and value.ndim else value


def _plain(value: Any) -> Any:
    """Arrays of other frameworks as NumPy's, and NumPy's whole numbers as Python's."""
    if isinstance(value, np.integer):
        return int(value)
    if is_tensorflow_tensor(value):
        return value
    is_array = hasattr(value, "__array__") and hasattr(value, "shape") and not np.isscalar(value)
    return np.array(value) if is_array else value
