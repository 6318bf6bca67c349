"""Making an instance of a class: arguments inferred from their names and annotations, or as the user gives them."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from headwise.checker.arguments.settings import (
    CONFIG,
    GROUPED,
    SIZED,
    SIZES,
    VALUES,
    WIDE,
    Settings,
    divides_heads,
    guessed_value,
    role_of_setting,
    value_of_setting,
)
from headwise.checker.modules.layer import documentation_of
from headwise.checker.modules.names import bias_role, role_of
from headwise.checker.modules.torch_modules import is_torch_class
from headwise.checker.modules.whole_numbers import numbers_of_file
from headwise.checker.user_code.execution import user_code
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import source_of
from headwise.errors import DataError, describe_exception

_PART_ROTATED = re.compile(r"rotary_?(pct|percent\w*|n?dims?|dim)\b|partial_rotary|rope_(pct|percent\w*|dim)\b")
_INNER = re.compile(r"(inner_?|self_?)?att(n|ention)(_?(module|fn|layer|mechanism))?")  # an argument that is a layer
_ARRAY = re.compile(r"Tensor|ndarray")  # in an annotation
_MATRIX = re.compile(r"(w|omega|weight|mat(rix)?)s?_?\w")  # an argument without one that is a matrix
_MODULE = re.compile(r"\b(nn\.|modules?\.|)Module\b|Callable")  # an annotation of what is called
_ACTIVATION = re.compile(r"(\w*_)?(act|activation|nonlinearity)(_?(fn|func|function|layer))?")
_GRID = re.compile(r"(grid|feat\w*|f?map|token)_?(size|shape)s?|grid|hw")  # of tokens
_SMALL = 256  # the largest number among defaults that are not replaced
_SIDE = 4  # of an image, or of a square of tokens
_MANY = 64  # tokens in a grid, of which fewer tell as much in less time
_GROUPS = re.compile(
    r"\b\w*(n_kv\b|num_kv\b|kv_?(num_?)?heads?|key_?value_?heads|n(um)?_?(query_?)?groups|kv_?groups)\b"
)


def parse_arguments(text: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Read ``"d_model=12, n_heads=3"``; what is no text is returned as it is.

    Raises DataError if the text is not a list of names and Python values.
    """
    if not isinstance(text, str):
        return dict(text or {})
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(keyword.arg is None for keyword in call.keywords):
            raise ValueError("each value needs a name")
        return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        reason = "a value is no constant of Python" if "malformed node" in reason else reason
        raise DataError(
            f'init: expected names and values, as in "d_model=12, n_heads=3"; got {text!r} ({reason}).'
        ) from None


def construct(cls: type, init: Mapping[str, Any], only: Mapping[str, int] | None = None) -> Iterator[Any]:
    """Yield instances with each choice of sizes that is worth trying, the most telling first; or with these `only`.

    Raises DataError if the class cannot be made: the message names the argument that is missing, or gives the error.
    """
    errors: list[str] = []
    count = 0
    same_width = SIZES | {"context": SIZES["model"]}
    first = [GROUPED] * has_groups(cls) + [WIDE] * bool(_PART_ROTATED.search(documentation_of(cls)))
    apart = [VALUES] * any(role_of_setting(name) == "values" for name in names_of(cls))
    usual: list[Mapping[str, int] | None] = [*first, *apart, SIZES, same_width, *_sizes_of_file(cls), WIDE, None]
    for sizes in usual if only is None else [only]:
        if sizes is None and not has_small_defaults(cls):
            continue
        try:
            arguments = dict(init) if sizes is None else arguments_of(cls, init, sizes)
            with user_code():
                instance = cls(**arguments)
        except DataError:
            raise
        except Exception as error:  # whatever somebody's constructor raises
            errors.append(describe_exception(error))
            continue
        count += 1
        yield instance
    if not count:
        raise DataError(f'{cls.__name__}: cannot be made ({errors[0]}). Give its arguments: init="name=value, …".')


def _sizes_of_file(cls: type) -> Iterator[dict[str, int]]:
    """Heads that together are as wide as a variable of the file says that tokens are, for a class that takes both."""
    numbers = {role_of_setting(name): n for name, n in numbers_of_file(cls) if n > 0}
    model = numbers.get("model", 0)
    if model and {"heads", "width"} <= {role_of_setting(name) for name in names_of(cls)}:
        heads = next((n for n in (numbers.get("heads", 3), *range(2, model)) if model % n == 0), 1)
        yield SIZES | {"model": model, "heads": heads, "width": model // heads, "values": model // heads}


def with_sizes(cls: type, init: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    """An instance with these arguments and sizes, also in place of scales that are a number by default."""
    replaced = [p for p in _parameters(cls) if _is_number(p.default) and p.default != 1]
    roots: dict[str, Any] = {p.name: root for p in replaced if (root := _root(cls, p, sizes)) is not None}
    with user_code():
        return cls(**arguments_of(cls, {**roots, **init}, sizes))


def has_groups(cls: type) -> bool:
    """Whether its code speaks of fewer key heads than query heads."""
    code = documentation_of(cls)
    stated = (role_of_setting(name) == "key_heads" for name, default in settings_of(cls).items() if default is not None)
    return bool(_GROUPS.search(code)) or any(stated) or any(divides_heads(name, code) for name in settings_of(cls))


def settings_of(cls: type) -> dict[str, Any]:
    """The arguments of a constructor with their defaults, and the fields of a dataclass among them."""
    parameters = _parameters(cls)
    fields = {field.name: field.default for p in parameters for field in _fields(p)}
    return {p.name: p.default for p in parameters} | fields


def _fields(p: inspect.Parameter) -> tuple[dataclasses.Field[Any], ...]:
    """The settings in a required argument that is an instance of a dataclass; none for others."""
    is_class = p.default is p.empty and isinstance(p.annotation, type)
    return dataclasses.fields(p.annotation) if is_class and dataclasses.is_dataclass(p.annotation) else ()


def _parameters(cls: type) -> list[inspect.Parameter]:
    """Those of the constructor, or of the first that it may pass all its arguments on to."""
    constructors: list[Any] = [cls, *(vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base))]
    for place, constructor in enumerate(constructors):
        try:
            parameters = list(inspect.signature(constructor).parameters.values())[bool(place) :]
        except (TypeError, ValueError):
            return []
        if any(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
            return parameters
    return parameters


def has_small_defaults(cls: type) -> bool:
    """Whether it can be made without arguments, which its code may rely on, with a layer that is small."""
    defaults = [p.default for p in _parameters(cls)]
    numbers = [value for value in defaults if isinstance(value, int)]
    return bool(numbers) and inspect.Parameter.empty not in defaults and max(numbers) <= _SMALL


def names_of(cls: type) -> list[str]:
    """The arguments of the constructor."""
    return [p.name for p in _parameters(cls)]


def arguments_of(cls: type, init: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The arguments of the constructor: those given, those that are required, and sizes in place of large defaults."""
    parameters = _parameters(cls)
    unexpected = sorted(set(init) - settings_of(cls).keys())
    if unexpected and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        names = ", ".join(p.name for p in parameters) or "none"
        raise DataError(f"init: {cls.__name__} has no argument {unexpected[0]}; it has {names}.")
    fields = {field.name for p in parameters for field in _fields(p)}
    arguments = {name: value for name, value in init.items() if name not in fields}
    for p in parameters:
        if _fields(p):
            arguments[p.name] = init.get(p.name) or _configuration(p.annotation, init, sizes, documentation_of(cls))
        elif p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and (p.name not in init or _is_missing(p, init)):
            arguments |= _argument(cls, p, sizes)
    return arguments


def _argument(cls: type, p: inspect.Parameter, sizes: Mapping[str, int]) -> dict[str, Any]:
    required = p.default is p.empty
    if required and CONFIG.fullmatch(p.name.lower()) and _reads_settings(cls, p.name):
        return {p.name: Settings(sizes)}
    if p.name == "rngs" and "flax.nnx" in sys.modules:
        return {p.name: sys.modules["flax.nnx"].Rngs(0)}
    if p.name in ("height", "width") and {"height", "width"} <= {*names_of(cls)}:  # of an image
        return {p.name: _SIDE} if required else {}
    if is_activation(p.name, p.default):
        return {p.name: _identity()}
    if (grid := _smaller_grid(cls, p)) is not None:
        return {p.name: grid}
    value: Any = _called(cls, p) or _root(cls, p, sizes) if required else None
    if required and value is None and (matrix := _matrix(cls, p, sizes["model"])) is not None:
        return {p.name: matrix}
    value = value_of_setting(p.name, sizes, documentation_of(cls)) if value is None else value
    if re.search(rf"\b[kv]dim\s*=\s*{p.name}\b", documentation_of(cls)):  # of torch.nn.MultiheadAttention
        return {p.name: sizes["context"]} if required or _is_number(p.default) else {}
    if re.search(rf"\b{p.name}\[[01]\]", documentation_of(cls)) and role_of_setting(p.name) == "window":
        value = (2, 3)
    value = guessed_value(p.name, sizes) if required and value is None else value
    if required and value is None and _INNER.fullmatch(p.name.lower()):
        value = next(_of_same_file(cls), None)
    if required and value is None:
        raise DataError(
            f"{cls.__name__}: the argument {p.name} of the constructor cannot be inferred from its name. "
            f'Give it: init="{p.name}=…".'
        )
    return {p.name: value} if required or _is_replaced(p.name, p.default) else {}


def _smaller_grid(cls: type, p: inspect.Parameter) -> tuple[int, int] | int | None:
    """The sides of a grid of few tokens, for an argument that gives one or both of a grid by default; else None."""
    name, default = p.name.lower(), p.default
    is_grid = _GRID.fullmatch(name)
    if not is_grid and "resolution" not in name and role_of_setting(name) != "window":
        return None
    if isinstance(default, tuple) and len(default) == 2:
        return (2, 3) if is_grid or (min(default) > 1 and default[0] * default[1] > _MANY) else None
    is_side = type(default) is int and default**2 > _MANY and _is_side(p.name, documentation_of(cls))
    return _SIDE if is_side else None


def _is_side(name: str, code: str) -> bool:
    """Whether code uses a number as a side of a square: in n², n · n, 2n − 1 or a pair (n, n)."""
    forms = (
        rf"{name} ?\*\* ?2",
        rf"{name} ?\* ?(self\.)?{name}",
        rf"2 ?\* ?(self\.)?{name} ?- ?1",
        rf"(2tuple|pair)\({name}\)",
    )
    return any(re.search(form, code) for form in forms)


def _matrix(cls: type, p: inspect.Parameter, width: int) -> Any:
    """An array for an argument that is a projection or a bias by its name, and an array by its annotation or name."""
    role = role_of(p.name) or bias_role(p.name)
    is_array = _MATRIX.match(p.name.lower()) if p.annotation is p.empty else _ARRAY.search(str(p.annotation))
    if role is None or role.part not in ("q", "k", "v", "o") or not is_array:
        return None
    of_torch = "Tensor" in str(p.annotation) or is_torch_class(cls)
    array = np.random.default_rng(len(p.name)).normal(size=(width,) * (1 if "bias" in p.name.lower() else 2))
    return sys.modules["torch"].tensor(array) if of_torch else array


def _is_missing(p: inspect.Parameter, init: Mapping[str, Any]) -> bool:
    """Whether None is given for an argument that has to be a layer."""
    return init[p.name] is None and p.default is p.empty and _MODULE.search(str(p.annotation)) is not None


def _called(cls: type, p: inspect.Parameter) -> Any:
    """What changes nothing, for an argument that its code calls; None for others."""
    code, own = documentation_of(cls), rf"self\.(\w+)\s*=\s*{p.name}\s*$"
    if p.annotation in (int, float) or not any(
        re.search(rf"self\.{attribute}\(", code) for attribute in re.findall(own, code, re.MULTILINE)
    ):
        return None
    return _identity()


def is_activation(name: str, default: Any) -> bool:
    """Whether an argument is a function that a layer applies besides attention, such as to its projections."""
    is_function = default is not inspect.Parameter.empty and callable(default) and not isinstance(default, type)
    return is_function and _ACTIVATION.fullmatch(name.lower()) is not None


def _identity() -> Any:
    return sys.modules["torch"].nn.Identity() if "torch" in sys.modules else lambda x, *args, **kwargs: x


def _root(cls: type, p: inspect.Parameter, sizes: Mapping[str, int]) -> float | None:
    """The root of the width of a head for a temperature, and for a scale the root, or one by it if nothing divides."""
    role = role_of_setting(p.name)
    if role not in ("temperature", "scale"):
        return None
    divides = role == "temperature" or re.search(rf"/\s*(self\.)?{p.name}\b", documentation_of(cls))
    root: float = sizes["width"] ** (0.5 if divides else -0.5)
    return root


def _is_number(default: Any) -> bool:
    return isinstance(default, int | float) and default is not False and default >= 0


def _is_replaced(name: str, default: Any) -> bool:
    """Whether a size by its name gets another value than its default; None stands for as many key heads as heads."""
    role = role_of_setting(name)
    return (role in SIZED and _is_number(default)) or (role == "key_heads" and (_is_number(default) or default is None))


def _of_same_file(cls: type) -> Iterator[Any]:
    """Instances of the other classes of attention in a file that are made without arguments."""
    for other in list(vars(sys.modules[cls.__module__]).values()):
        of_file = isinstance(other, type) and other is not cls and other.__module__ == cls.__module__
        if of_file and "attention" in other.__name__.lower():
            with contextlib.suppress(Exception):  # whatever somebody's constructor raises
                yield other()


def _configuration(cls: Any, init: Mapping[str, Any], sizes: Mapping[str, int], code: str) -> Any:
    """An instance of a dataclass of settings, with those given, and small sizes in place of its defaults."""
    fields = dataclasses.fields(cls)
    values = {field.name: init[field.name] for field in fields if field.name in init}
    for field in fields:
        if field.name in init:
            continue
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        value = value_of_setting(field.name, sizes, code)
        value = guessed_value(field.name, sizes) if required and value is None else value
        if required and value is None:
            raise DataError(f"{cls.__name__}: the field {field.name} cannot be inferred from its name.")
        if field.init and value is not None and (required or _is_replaced(field.name, field.default)):
            values[field.name] = value
    return cls(**values)


def _reads_settings(cls: type, name: str) -> bool:
    """Whether a class, or another of the same file that it is handed on to, reads settings from an argument."""
    return bool(re.search(rf"\b{name}\s*(\.\w|\[|\.get\()", documentation_of(cls) + source_of(cls)))
