"""Plain Python classes whose attributes are arrays of NumPy or JAX, or tensors of torch or TensorFlow."""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headwise.checker.calling.responses import as_array, bare
from headwise.checker.modules.flax_modules import in_float64, is_jax_array, jax_array
from headwise.checker.modules.layer import Layer, Parameter, documentation_of, signature_of_method
from headwise.checker.modules.names import bias_role, is_formula, is_turned_off, role_of
from headwise.checker.modules.own_caches import with_own_cache
from headwise.checker.modules.tensorflow_tensors import is_tensorflow_tensor, tensorflow_tensor
from headwise.checker.modules.torch_modules import is_torch_tensor, torch_tensor
from headwise.checker.modules.whole_numbers import numbers_of_file
from headwise.checker.user_code.jax_calls import Compiled
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import source_of
from headwise.shapes import Array

_METHODS = (
    *("forward", "__call__", "call", "attend", "attention", "self_attention", "apply", "compute"),
    *("transform", "predict", "run", "fit_transform"),
)
_OF_OTHERS = {"transform", "fit_transform"}  # which many classes in scikit-learn's style have
_OF_TRACKING = "_self_"  # what TensorFlow notes about the attributes of its modules
_OF_TRAINING = re.compile(r"_?(grad|gradient|velocity|momentum)s?")  # next to the numbers of a parameter


def call_method(value: Any) -> str | None:
    """The name of the method that computes, of an instance or a class; None without one."""
    cls = value if isinstance(value, type) else type(value)
    for name in _METHODS:
        if inspect.isfunction(getattr(cls, name, None)) and (name not in _OF_OTHERS or _has_queries(cls)):
            return name
    used = set(re.findall(r"\bself\.(\w+)", documentation_of(cls)))
    methods = [name for name, f in vars(cls).items() if inspect.isfunction(f)]
    public = [name for name in methods if not name.startswith("_") and name not in used]
    return public[0] if len(public) == 1 else None


def _has_queries(cls: type) -> bool:
    """Whether the code of a class names a projection of queries among the attributes."""
    roles = map(role_of, re.findall(r"(?:self\.|['\"])(\w+)", documentation_of(cls)))
    return any(role is not None and "q" in role.part for role in roles)


def plain_submodules(value: Any) -> dict[str, Any]:
    """An object and the objects among its attributes that have attributes of their own, by their paths."""
    return {path: part for path, part in _walk(value, "", set()) if not _is_array(part)}


def plain_names(value: Any) -> list[str]:
    """The paths of the arrays of numbers among an object's attributes."""
    return [path for path, (item, _) in _places(value, "", set()) if bare(item).dtype.kind == "f"]


def plain_layer(value: Any, name: str, method: str) -> Layer:
    """Copy an object with float64 arrays; they are what it learns, where their names are those of projections."""
    clone = copy.deepcopy(value)
    places = dict(_places(clone, "", set()))
    parts = plain_submodules(clone)
    convert: Callable[[Array], Any] = np.asarray
    arrays = [item for item, _ in places.values()]
    of_jax, of_tensorflow = (any(map(is_of, arrays)) for is_of in (is_jax_array, is_tensorflow_tensor))
    if of_jax or of_tensorflow or any(map(is_torch_tensor, arrays)):
        convert = jax_array if of_jax else tensorflow_tensor if of_tensorflow else torch_tensor
        for item, replace in places.values():
            replace(convert(np.array(bare(item), np.float64) if bare(item).dtype.kind == "f" else bare(item)))
    numbers = {path: bare(item) for path, (item, _) in places.items()}
    learned = {
        path: array
        for path, array in numbers.items()
        if not (is_formula(path, array.shape) or is_turned_off(path, parts))
    }
    roles = {path: role_of(path) or bias_role(path) for path in learned}
    named = [path for path, role in roles.items() if role is not None]
    if not any(role is not None and set(role.part) & set("qkv") for role in roles.values()):
        named = [path for path, array in learned.items() if array.dtype.kind == "f"]  # no name says anything
    parameters = tuple(Parameter(path, np.array(learned[path], np.float64)) for path in named)

    state = {parameter.name: convert(parameter.value) for parameter in parameters}

    def put(arrays: Mapping[str, Any]) -> None:
        for path, array in arrays.items():
            places[path][1](array)

    def write(arrays: Mapping[str, Array]) -> None:
        state.update({path: convert(np.array(array)) for path, array in arrays.items()})
        put(state)

    def call(state_of_call: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        put(state_of_call)
        try:
            return getattr(clone, method)(*args, **kwargs)
        finally:
            put(state)

    compiled = Compiled(call) if of_jax else call

    @functools.wraps(getattr(type(clone), method))
    def forward(*args: Any, **kwargs: Any) -> Any:
        if not of_jax:
            result = getattr(clone, method)(*args, **kwargs)
            return tuple(map(as_array, result)) if type(result) is tuple else as_array(result)
        with in_float64():
            return compiled(state, *args, **kwargs)

    signature = signature_of_method(type(clone), method)
    own = [p for p in signature.parameters.values() if method not in _OF_OTHERS or p.name != "y"]  # the targets
    with_cache = with_own_cache(forward, clone)
    vars(with_cache)["__signature__"] = signature.replace(parameters=own)
    scalars = {key: item for key, item in vars(clone).items() if isinstance(item, bool | int | float | str)}
    return Layer(
        name,
        parameters,
        write,
        with_cache,
        convert,
        numbers=dict(numbers_of_file(type(clone)))
        | {k: v for k, v in scalars.items() if isinstance(v, int) and not isinstance(v, bool)},
        attributes=scalars,
        framework="tensorflow" if of_tensorflow else "numpy",
        source=source_of(type(clone)),
        documentation=documentation_of(type(clone)),
        function=f"{type(clone).__name__}.{method}",
    )


Place = tuple[Any, Callable[[Any], None]]


def _fixed(item: Any) -> None:
    raise ValueError("what is checked cannot be replaced itself")


def _is_array(item: Any) -> bool:
    return isinstance(item, np.ndarray) or any(
        is_of(item) for is_of in (is_torch_tensor, is_jax_array, is_tensorflow_tensor)
    )


def _places(
    value: Any, path: str, visited: set[int], replace_value: Callable[[Any], None] = _fixed
) -> Iterator[tuple[str, Place]]:
    """The arrays of an object, which `replace_value` replaces, and how to replace each."""
    if id(value) in visited:
        return
    visited.add(id(value))
    for key, item, replace in _items(value, replace_value):
        inner = f"{path}.{key}" if path else key
        if (array := as_array(item)) is not item:
            yield inner, (array, functools.partial(_replace_by_list, replace))
        elif _is_array(item):
            if bare(item).dtype.kind in "fi":
                yield inner, (item, replace)
        elif _is_container(item):
            yield from _places(item, inner, visited, replace)


def _replace_by_list(replace: Callable[[Any], None], array: Any) -> None:
    replace(array.tolist())


def _walk(value: Any, path: str, visited: set[int]) -> Iterator[tuple[str, Any]]:
    if id(value) in visited:
        return
    visited.add(id(value))
    if not isinstance(value, list | tuple | dict):
        yield path, value
    for key, item, _ in _items(value):
        if _is_container(item):
            yield from _walk(item, f"{path}.{key}" if path else key, visited)


def _items(
    value: Any, replace_value: Callable[[Any], None] = _fixed
) -> Iterator[tuple[str, Any, Callable[[Any], None]]]:
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield str(i), item, functools.partial(value.__setitem__, i)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key), item, functools.partial(value.__setitem__, key)
    elif isinstance(value, tuple):
        entries = list(value)

        def put(place: int, item: Any) -> None:
            entries[place] = item
            replace_value(type(value)(*entries) if hasattr(value, "_fields") else tuple(entries))

        for i, name in enumerate(getattr(value, "_fields", range(len(value)))):
            yield str(name), value[i], functools.partial(put, i)
    else:
        for key, item in vars(value).items():
            if not _OF_TRAINING.fullmatch(key.lower()) and not key.startswith(_OF_TRACKING):
                yield key, item, functools.partial(object.__setattr__, value, key)  # also of a frozen dataclass


def _is_container(item: Any) -> bool:
    if isinstance(item, list | tuple | dict):
        return True
    other = inspect.isclass(item) or inspect.isroutine(item) or inspect.ismodule(item)
    return hasattr(item, "__dict__") and not other and not _is_array(item)
