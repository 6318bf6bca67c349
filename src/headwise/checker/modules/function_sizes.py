"""Functions that use variables of their file or notebook for the sizes of their arrays."""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import FunctionType
from typing import Any

from headwise.checker.arguments.roles import CACHE, role_of
from headwise.checker.arguments.settings import keys_looked_up, role_of_setting
from headwise.checker.modules.own_heads import with_own_heads
from headwise.checker.modules.sizes_of_file import roles_of_sizes, sizes_for
from headwise.checker.modules.surroundings import Rebound, may_be_matrix, variables_of
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import source_of

_SIZES = {"heads": "num_heads", "d": "d_k", "D": "d_model"}  # what the variables that are sizes become as arguments
_SIZES_OF_SETTINGS = {"heads": "heads", "width": "d", "model": "D"}


def has_sizes(function: Callable[..., Any]) -> bool:
    """Whether a function sets its number of heads itself, or has sizes of an example in the variables around it."""
    if not inspect.isfunction(function):
        return False
    return with_own_heads(function) is not function or bool(sizes_of(function, variables_of(function)))


def with_sizes(function: Callable[..., Any], any_sizes: bool = False) -> Callable[..., Any]:
    """The function with the sizes among the variables around it as arguments; itself where there are none.

    With the matrices, too, if it takes keys and values of earlier tokens. With `any_sizes`, also with the number of
    heads that it sets itself, and with the sizes of its arguments in place of those of an example.
    """
    if not inspect.isfunction(function):
        return function
    function = with_own_heads(function) if any_sizes else function
    signature, variables = inspect.signature(function), variables_of(function, classes=True)
    wanted = ("items", "tokens", "model") if any(role_of(name) == "heads" for name in signature.parameters) else ()
    sizes = sizes_of(function, variables, wanted) if any_sizes else {}
    heads = next((name for name, role in sizes.items() if role == "heads"), "")
    added = _added_parameters(function, variables, sizes)
    if not added and not sizes:
        return function
    rebound = Rebound(function)

    @functools.wraps(function)
    def with_arguments(*args: Any, **kwargs: Any) -> Any:
        values = {place: kwargs.pop(p.name) for place, p in added.items() if p.name in kwargs}
        for name in {place[0] for place in values}:
            own = {place[1]: value for place, value in values.items() if place[0] == name and len(place) > 1}
            rebound.assign(name, _with_settings(variables[name], own) if own else values[name,])
        fit(rebound, sizes, (*args, *kwargs.values()), values.get((heads,), variables.get(heads, 1)))
        return rebound.function(*args, **kwargs)

    last = [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    others = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    vars(with_arguments)["__signature__"] = signature.replace(parameters=[*others, *added.values(), *last])
    return with_arguments


def _added_parameters(
    function: FunctionType, variables: Mapping[str, Any], sizes: Mapping[str, str]
) -> dict[tuple[str, ...], inspect.Parameter]:
    """The variables that become arguments, by their places: alone, or after the configuration that holds them."""
    signature = inspect.signature(function)
    roles = {role_of(name) for name in signature.parameters}
    added: dict[tuple[str, ...], inspect.Parameter] = {}

    def add(place: tuple[str, ...], role: str, default: Any) -> None:
        if role not in roles:
            added[place] = inspect.Parameter(_SIZES[role], inspect.Parameter.KEYWORD_ONLY, default=default)
            roles.add(role)

    for name in (name for name, role in sizes.items() if role == "heads"):
        add((name,), "heads", int(variables[name]))
    for place, value in _numbers_in(variables, source_of(function)):
        role = _size_role(place[-1], function)
        role = role or _SIZES_OF_SETTINGS.get(role_of_setting(place[-1]) or "", "") if len(place) > 1 else role
        if role and place[0] not in sizes:  # not every function takes heads
            add(place, role, value if role == "heads" else inspect.Parameter.empty)
    for name, value in variables.items() if requires_cache(signature) else ():
        if (role_of(name) or "")[:1] in ("W", "b") and role_of(name) not in roles and may_be_matrix(value):
            added[name,] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)
    return added


def _whole_numbers(variables: Mapping[str, Any]) -> dict[str, int]:
    return {n: int(v) for n, v in variables.items() if isinstance(v, int | np.integer) and not isinstance(v, bool)}


def sizes_of(function: FunctionType, variables: Mapping[str, Any], wanted: Collection[str] = ()) -> dict[str, str]:
    """Which of its variables are sizes of the arrays of an example; of all roles, or of those that are wanted."""
    roles = roles_of_sizes(_whole_numbers(variables), function.__globals__)
    return {name: role for name, role in roles.items() if not wanted or role in wanted}


def _numbers_in(variables: Mapping[str, Any], code: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """The whole numbers among variables, and those that the code looks up in a configuration, with their places."""
    for name, value in variables.items():
        keys = [] if hasattr(value, "shape") else keys_looked_up(name, code)
        items = {key: value.get(key) if isinstance(value, dict) else getattr(value, key, None) for key in keys}
        for place, number in [((name,), value), *(((name, key), number) for key, number in items.items())]:
            if isinstance(number, int | np.integer) and not isinstance(number, bool):
                yield place, int(number)


def _with_settings(config: Any, values: Mapping[str, int]) -> Any:
    """A configuration with other values: a copy of it, or a class that inherits from a class."""
    if isinstance(config, dict):
        return {**config, **values}
    if hasattr(config, "_replace"):  # a named tuple
        return config._replace(**values)
    if inspect.isclass(config):
        return type(config.__name__, (config,), dict(values))
    copied = copy.copy(config)
    for key, value in values.items():
        object.__setattr__(copied, key, value)  # also of a frozen dataclass
    return copied


def _size_role(name: str, function: FunctionType) -> str:
    """Which size a variable is; a width that is divided is the model's."""
    role = role_of(name) or ("d" if role_of_setting(name) == "width" else "")
    if role == "d" and re.search(rf"\b{name}\s*//", source_of(function)):
        return "D"
    return role if role in _SIZES else ""


def requires_cache(signature: inspect.Signature) -> bool:
    """Whether keys and values of earlier tokens have to be passed: then matrices around a function are arguments."""
    required = [p.name for p in signature.parameters.values() if p.default is p.empty]
    return any(role_of(name) in ("kpast", "vpast") or CACHE.fullmatch(name.lower()) for name in required)


def fit(rebound: Rebound, sizes: Mapping[str, str], arguments: tuple[Any, ...], heads: int = 1) -> None:
    """Give the variables that are sizes those of the tokens, the first argument."""
    for tokens in arguments[:1] if sizes else ():
        for name, size in sizes_for(sizes, np.shape(tokens), heads).items():
            rebound.assign(name, size)
