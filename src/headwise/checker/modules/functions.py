"""Functions that use variables of their file or notebook: matrices, and sizes."""

from __future__ import annotations

import contextlib
import copy
import dis
import functools
import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from types import CellType, CodeType, FunctionType, SimpleNamespace
from typing import Any, get_origin

from headwise.checker.arguments.roles import CACHE, role_of
from headwise.checker.arguments.settings import keys_looked_up, role_of_setting
from headwise.checker.modules.inside import attention_sites
from headwise.checker.modules.own_heads import with_own_heads
from headwise.checker.modules.plain_classes import plain_names
from headwise.checker.modules.sizes_of_file import roles_of_sizes, sizes_for
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import source_of

_SIZES = {"heads": "num_heads", "d": "d_k", "D": "d_model"}  # what the variables that are sizes become as arguments
_SIZES_OF_SETTINGS = {"heads": "heads", "width": "d", "model": "D"}
_PARTS = (("q", "k", "v"), ("Q", "K", "V"), ("query", "key", "value"))  # by which names of matrices differ
_HEADS = (2, 3, 4, 1)  # numbers of heads to pass, where their number is an argument


def holds_matrices(value: Any) -> bool:
    """Whether a value is a function that projects tokens with matrices that are variables around it."""
    if not inspect.isfunction(value) or not any(map(_may_be_matrix, _variables_of(value).values())):
        return False
    if _requires_cache(inspect.signature(value)):
        return False
    instance = object_of(value)
    torch = _torch_of(_variables_of(value))
    names = [name for name, _ in instance.named_parameters()] if torch else plain_names(instance)
    return len(attention_sites(names, [""])) == 1


def object_of(function: FunctionType) -> Any:
    """An object with the variables around a function as its attributes, whose forward method calls the function.

    It is a module of torch if one of them is a tensor or a module of torch.
    """
    variables = _variables_of(function)
    variables |= _of_other_heads(variables, function)
    variables |= _of_other_projections(variables, function)
    torch = _torch_of(variables)
    places = dict(_places(variables))
    rebound = _Rebound(function)
    signature = inspect.signature(function)
    sizes = [p.name for p in signature.parameters.values() if role_of(p.name) == "heads" and p.default is p.empty]

    of_tokens = _sizes_of(function, variables, ("items", "tokens"))

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        for name, place in places.items():
            rebound.assign(name, _at(self, place))
        rebound.fit(of_tokens, (*args, *kwargs.values()))
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


def _requires_cache(signature: inspect.Signature) -> bool:
    """Whether keys and values of earlier tokens have to be passed: then matrices around a function are arguments."""
    required = [p.name for p in signature.parameters.values() if p.default is p.empty]
    return any(role_of(name) in ("kpast", "vpast") or CACHE.fullmatch(name.lower()) for name in required)


def has_sizes(function: Callable[..., Any]) -> bool:
    """Whether a function sets its number of heads itself, or has sizes of an example in the variables around it."""
    if not inspect.isfunction(function):
        return False
    return with_own_heads(function) is not function or bool(_sizes_of(function, _variables_of(function)))


def with_sizes(function: Callable[..., Any], any_sizes: bool = False) -> Callable[..., Any]:
    """The function with the sizes among the variables around it as arguments; itself where there are none.

    With the matrices, too, if it takes keys and values of earlier tokens. With `any_sizes`, also with the number of
    heads that it sets itself, and with the sizes of its arguments in place of those of an example.
    """
    if not inspect.isfunction(function):
        return function
    function = with_own_heads(function) if any_sizes else function
    signature = inspect.signature(function)
    roles = {role_of(name) for name in signature.parameters}
    added: dict[tuple[str, ...], inspect.Parameter] = {}
    variables = _variables_of(function, classes=True)
    wanted = ("items", "tokens", "model") if "heads" in roles else ()
    sizes = _sizes_of(function, variables, wanted) if any_sizes else {}
    heads = next((name for name, role in sizes.items() if role == "heads"), "")
    if heads:
        added[heads,] = inspect.Parameter(
            _SIZES["heads"], inspect.Parameter.KEYWORD_ONLY, default=int(variables[heads])
        )
        roles.add("heads")
    for place, value in _numbers_in(variables, source_of(function)):
        role = _size_role(place[-1], function)
        role = role or _SIZES_OF_SETTINGS.get(role_of_setting(place[-1]) or "", "") if len(place) > 1 else role
        if role and role not in roles and place[0] not in sizes:
            default = value if role == "heads" else inspect.Parameter.empty  # not every function takes heads
            added[place] = inspect.Parameter(_SIZES[role], inspect.Parameter.KEYWORD_ONLY, default=default)
            roles.add(role)
    for name, value in variables.items() if _requires_cache(signature) else ():
        if (role_of(name) or "")[:1] in ("W", "b") and role_of(name) not in roles and _may_be_matrix(value):
            added[name,] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)
    if not added and not sizes:
        return function
    rebound = _Rebound(function)

    @functools.wraps(function)
    def with_arguments(*args: Any, **kwargs: Any) -> Any:
        values = {place: kwargs.pop(p.name) for place, p in added.items() if p.name in kwargs}
        for name in {place[0] for place in values}:
            own = {place[1]: value for place, value in values.items() if place[0] == name and len(place) > 1}
            rebound.assign(name, _with_settings(variables[name], own) if own else values[name,])
        rebound.fit(sizes, (*args, *kwargs.values()), values.get((heads,), variables.get(heads, 1)))
        return rebound.function(*args, **kwargs)

    last = [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    others = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    vars(with_arguments)["__signature__"] = signature.replace(parameters=[*others, *added.values(), *last])
    return with_arguments


def _whole_numbers(variables: Mapping[str, Any]) -> dict[str, int]:
    return {n: int(v) for n, v in variables.items() if isinstance(v, int | np.integer) and not isinstance(v, bool)}


def _sizes_of(function: FunctionType, variables: Mapping[str, Any], wanted: Collection[str] = ()) -> dict[str, str]:
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


def _variables_of(function: FunctionType, classes: bool = False) -> dict[str, Any]:
    """The variables around a function that it uses, and those that functions of the same file use that it calls.

    `classes`: whether classes count, which may hold settings.
    """
    variables: dict[str, Any] = {}
    waiting = [function]
    while waiting:
        for name, value in _used(waiting.pop()):
            if inspect.isfunction(value) and value.__globals__ is function.__globals__:
                if value is not function and name not in variables:
                    waiting.append(value)
                    variables[name] = value
            elif not (inspect.isroutine(value) or inspect.ismodule(value) or (_is_type(value) and not classes)):
                variables[name] = value
    return {name: value for name, value in variables.items() if not inspect.isfunction(value)}


def _is_type(value: Any) -> bool:
    """Whether a value is a class, or stands in annotations, as ``NDArray[np.float64]`` does in those of helpers."""
    return inspect.isclass(value) or get_origin(value) is not None


class _Rebound:
    """A copy of a function, and of the functions of its file, that looks variables up in a dictionary of its own.

    Variables of a function around it are in cells, of which it has its own, too.
    """

    def __init__(self, function: FunctionType) -> None:
        self._globals, self._variables = function.__globals__, dict(function.__globals__)
        self._cells: dict[int, CellType] = {}  # by those of the original
        self._named: dict[str, list[CellType]] = {}
        for name, value in function.__globals__.items():
            self._variables[name] = self._copied(value)
        self.function = self._copied(function)

    def assign(self, name: str, value: Any) -> None:
        """Give a variable another value."""
        for cell in self._named.get(name, ()):
            cell.cell_contents = value
        if name not in self._named:
            self._variables[name] = value

    def fit(self, sizes: Mapping[str, str], arguments: tuple[Any, ...], heads: int = 1) -> None:
        """Give the variables that are sizes those of the tokens, the first argument."""
        for tokens in arguments[:1] if sizes else ():
            for name, size in sizes_for(sizes, np.shape(tokens), heads).items():
                self.assign(name, size)

    def _copied(self, value: Any) -> Any:
        """A copy of a function of the file; any other value itself."""
        if not inspect.isfunction(value) or value.__globals__ is not self._globals:
            return value
        closure = tuple(map(self._cell, value.__code__.co_freevars, value.__closure__ or ()))
        copied = FunctionType(value.__code__, self._variables, value.__name__, value.__defaults__, closure)
        copied.__kwdefaults__ = value.__kwdefaults__
        return copied

    def _cell(self, name: str, cell: CellType) -> CellType:
        if id(cell) not in self._cells:
            self._cells[id(cell)] = own = CellType()
            self._named.setdefault(name, []).append(own)
            with contextlib.suppress(ValueError):  # of a cell that is empty
                own.cell_contents = self._copied(cell.cell_contents)
        return self._cells[id(cell)]


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The variables around a function that its code mentions: of the function that it was made in, and global ones."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            yield name, cell.cell_contents
    for name in dict.fromkeys(_global_names(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _global_names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _global_names(inner)


def _places(variables: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Where the object has each variable: ``w_q1`` and ``w_q2`` belong to the first and the second head."""
    numbers: dict[str, tuple[str, int]] = {}
    for name, value in variables.items():
        match = re.fullmatch(r"(\w*?[a-zA-Z])_?(\d+)", name) if _may_be_matrix(value) else None
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


def _may_be_matrix(value: Any) -> bool:
    return hasattr(value, "shape") or hasattr(value, "named_parameters") or isinstance(value, dict | list | tuple)


def _learned(value: Any) -> Any:
    """A tensor of numbers as a parameter of torch."""
    import torch

    is_number = isinstance(value, torch.Tensor) and value.is_floating_point()
    return torch.nn.Parameter(value.detach().clone()) if is_number and value.ndim else value


def _plain(value: Any) -> Any:
    """Arrays of other frameworks as NumPy's, and NumPy's whole numbers as Python's."""
    if isinstance(value, np.integer):
        return int(value)
    is_array = hasattr(value, "__array__") and hasattr(value, "shape") and not np.isscalar(value)
    return np.array(value) if is_array else value
