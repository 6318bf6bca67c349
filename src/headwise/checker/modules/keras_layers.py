"""Layers of Keras, under any of its backends."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from headwise.checker.arguments.roles import FLAGS, normalize, role_of
from headwise.checker.calling.responses import bare
from headwise.checker.modules.layer import (
    Layer,
    Parameter,
    documentation_of,
    plain_attributes,
    possible_widths,
    signature_of_method,
)
from headwise.checker.user_code.execution import user_code
from headwise.checker.user_code.jax_calls import Compiled
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import source_of
from headwise.errors import DataError, describe_exception
from headwise.shapes import Array

_EPSILON = 1e-6  # of norms, as that of other frameworks


def is_keras_layer(value: Any) -> bool:
    """Whether a value is a layer of Keras; Keras is not imported for it."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.layers.Layer)


def is_keras_class(value: Any) -> bool:
    """Whether a value is a class of Keras layers."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, type) and issubclass(value, keras.layers.Layer)


def keras_sublayers(layer: Any) -> dict[str, Any]:
    """A layer and the layers among its attributes, by their paths."""
    return dict(_sublayers(layer, "", set()))


def keras_names(layer: Any) -> list[str]:
    """The paths of everything that a layer learns, once it is built."""
    return list(_variables(_copy(layer)))


def keras_layer(layer: Any, name: str) -> Layer:
    """Make a layer like another, in float64, or in float32 where it has to be."""
    import keras

    clone, dtype = _copy(layer), _dtype(layer)
    variables = _variables(clone)
    axes = {path: "io" if path.endswith("kernel") and v.ndim == 2 else "" for path, v in variables.items()}

    def convert(array: Any) -> Any:
        lower = dtype if array.dtype == np.float64 else str(array.dtype)
        return keras.ops.convert_to_tensor(np.array(array), dtype=lower)  # else float64 becomes float32

    def write(arrays: Mapping[str, Array]) -> None:
        for path, array in arrays.items():
            variables[path].assign(convert(np.asarray(array, np.float64)))

    call = _compiled(clone) if keras.backend.backend() == "jax" else clone

    def forward(*args: Any, **kwargs: Any) -> Any:
        with _computing_in(dtype):
            return call(*args, **kwargs)

    vars(forward)["__signature__"] = signature_of_method(type(clone), "call")
    return Layer(
        name,
        tuple(Parameter(path, np.array(bare(v.value), np.float64), axes[path]) for path, v in variables.items()),
        write,
        forward,
        convert,
        numbers={key.lstrip("_"): value for key, value in vars(clone).items() if type(value) is int},
        attributes=plain_attributes(clone),
        framework="keras",
        owner="keras" if type(clone).__module__.startswith("keras.") else type(clone).__name__,
        source=source_of(type(clone)),
        documentation=documentation_of(type(clone)),
        function=f"{type(clone).__name__}.call",
    )


def _compiled(layer: Any) -> Callable[..., Any]:
    """A call of a layer whose arrays are JAX's."""
    import keras

    def call_with(values: list[Any], *args: Any, **kwargs: Any) -> Any:
        with keras.StatelessScope(list(zip(layer.variables, values, strict=True))):
            return layer(*args, **kwargs)

    call = Compiled(call_with)
    return lambda *args, **kwargs: call([v.value for v in layer.variables], *args, **kwargs)


def _copy(layer: Any) -> Any:
    """A layer like another, built in float64 if it can be; its weights are not those of the other."""
    with _computing_in(_dtype(layer)):
        try:
            with user_code():
                clone = _built(layer)
        except Exception as error:  # whatever somebody's layer raises
            reason = describe_exception(error)
            name = type(layer).__name__
            raise DataError(f"{name}: cannot be made again from its get_config(): {reason}.") from None
        for part in keras_sublayers(clone).values():
            if "Normalization" in type(part).__name__ and hasattr(part, "epsilon"):
                part.epsilon = _EPSILON
        return clone


def _dtype(layer: Any) -> str:
    """Float64, but under TensorFlow float32 for code that names it: TensorFlow does not compute with both at once."""
    import keras

    classes = {type(part) for part in keras_sublayers(layer).values()}
    code = "".join(documentation_of(cls) for cls in classes if not cls.__module__.startswith("keras."))
    return "float32" if keras.backend.backend() == "tensorflow" and re.search(r"\bfloat32\b", code) else "float64"


def _made_again(layer: Any) -> Any:
    """A layer of the same class and configuration; of a class that takes no more than its own arguments, of these."""
    config = layer.get_config()
    try:
        return type(layer).from_config(config | ({"dtype": _dtype(layer)} if "dtype" in config else {}))
    except TypeError:
        parameters = inspect.signature(type(layer).__init__).parameters
        return type(layer)(**{name: value for name, value in config.items() if name in parameters})


@contextlib.contextmanager
def _computing_in(dtype: str) -> Iterator[None]:
    """Let Keras make layers and compute in a type inside the block."""
    import keras

    usual = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(usual[0])
        keras.config.set_dtype_policy(usual[1])


def _built(layer: Any) -> Any:
    """A layer like another, called once so that its variables exist; a call that fails may have made some of them."""
    for arguments, named in _possible_calls(layer):
        clone = _made_again(layer)
        if clone.built and _variables(clone):
            return clone
        with contextlib.suppress(Exception):
            clone(*arguments, **named)
            return clone
    return _made_again(layer)


def _possible_calls(layer: Any) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """Positional arguments and keywords that a layer may take."""
    signature = signature_of_method(type(layer), "call")
    parameters = [p for p in signature.parameters.values() if p.default is p.empty]
    required = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    named = {p.name: FLAGS.get(normalize(p.name)) for p in parameters if p.kind is p.KEYWORD_ONLY}
    masks = [name for name in required if role_of(name) in ("mask", "padding")]
    tokens = [name for name in required if name not in masks]
    shapes = ((2, 6, 6), (2, 6), (2, 1, 6, 6)) if masks else ((),)
    for width, count, shape in product(possible_widths(layer), range(1, len(tokens) + 1), shapes):
        values = dict.fromkeys(tokens[:count], np.zeros((2, 6, width), np.float32))
        values |= dict.fromkeys(masks, np.ones(shape, np.float32))
        yield [values.get(name) for name in required], named


def _sublayers(layer: Any, path: str, visited: set[int]) -> Iterator[tuple[str, Any]]:
    if id(layer) in visited:
        return
    visited.add(id(layer))
    yield path, layer
    attributes = {**vars(layer), **vars(layer).get("_modules", {})}  # where torch keeps the parts of a module
    for key, value in attributes.items():
        items = enumerate(value) if isinstance(value, list | tuple) else [(None, value)]
        for number, item in items:
            if is_keras_layer(item) and not key.startswith("_layers"):
                inner = key if number is None else f"{key}.{number}"
                yield from _sublayers(item, f"{path}.{inner}" if path else inner, visited)


def _variables(layer: Any) -> dict[str, Any]:
    """The variables of a layer by the attributes that lead to them."""
    variables: dict[int, tuple[str, Any]] = {}
    for path, part in keras_sublayers(layer).items():
        names = {id(value): key.lstrip("_") for key, value in vars(part).items()}
        for variable in part._trainable_variables:
            name = names.get(id(variable), variable.name)
            variables.setdefault(id(variable), (f"{path}.{name}" if path else name, variable))
    return dict(variables.values())
