"""Modules of flax: linen, whose parameters stand apart, and nnx, whose parameters are attributes."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from headwise.checker.arguments.roles import FLAGS, normalize
from headwise.checker.modules.layer import (
    Layer,
    Parameter,
    documentation_of,
    plain_attributes,
    possible_widths,
    signature_of_method,
)
from headwise.checker.modules.names import is_formula
from headwise.checker.user_code.jax_calls import Compiled
from headwise.checker.user_code.numpy_guard import np
from headwise.checker.user_code.source import source_of
from headwise.errors import DataError
from headwise.shapes import Array


def is_jax_array(value: Any) -> bool:
    """Whether a value is an array of JAX; JAX is not imported for it."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, jax.Array)


def in_float64() -> Any:
    """A context in which JAX computes in float64."""
    import jax

    return jax.enable_x64(True)


def jax_array(array: Array) -> Any:
    """An array of JAX, in float64 if that is the type."""
    import jax

    with in_float64():
        return jax.numpy.asarray(array)


def _classes() -> tuple[type, ...]:
    names = (("flax.linen", "Module"), ("flax.nnx", "Module"))
    return tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)


def is_flax_module(value: Any) -> bool:
    """Whether a value is a module of flax; flax is not imported for it."""
    return isinstance(value, _classes())


def is_flax_class(value: Any) -> bool:
    """Whether a value is a class of flax modules."""
    return isinstance(value, type) and issubclass(value, _classes())


def flax_names(module: Any) -> list[str]:
    """The paths of everything that a module learns."""
    return [parameter.name for parameter in flax_layer(module, "").parameters]


def flax_layer(module: Any, name: str) -> Layer:
    """A module with its parameters in float64."""
    linen = sys.modules.get("flax.linen")
    if linen is not None and isinstance(module, linen.Module):
        return _linen(module, name)
    return _nnx(module, name)


def _linen(module: Any, name: str) -> Layer:
    from flax.traverse_util import flatten_dict, unflatten_dict

    variables = _initial(module)
    arrays = {path: np.array(a, np.float64) for path, a in flatten_dict(variables["params"], sep=".").items()}
    rest = {collection: value for collection, value in variables.items() if collection != "params"}

    def apply_to(params: Any, *args: Any, **kwargs: Any) -> Any:
        return module.apply({"params": params, **rest}, *args, **kwargs)

    apply = Compiled(apply_to)

    def forward(*args: Any, **kwargs: Any) -> Any:
        with in_float64():
            return apply(unflatten_dict(dict(arrays), sep="."), *args, **kwargs)

    return _layer(module, name, arrays, arrays.update, forward)


def _initial(module: Any) -> Any:
    """The variables that a module starts with, for tokens of the width that its settings give."""
    import jax

    signature = signature_of_method(type(module), "__call__")
    required = [p for p in signature.parameters.values() if p.default is p.empty]
    named = {p.name: FLAGS.get(normalize(p.name)) for p in required if p.kind is p.KEYWORD_ONLY}
    required = [p for p in required if p.name not in named]
    errors: list[Exception] = []
    for width, count in product(possible_widths(module), range(1, len(required) + 1)):
        try:
            init = Compiled(lambda key, *args: module.init(key, *args, **named))
            given = [jax.numpy.zeros((2, 6, width), np.float32)] * count
            return init(jax.random.key(0), *given, *[None] * (len(required) - count))
        except Exception as error:  # whatever somebody's module raises
            errors.append(error)
    raise DataError(f"{type(module).__name__}: cannot be initialised: {type(errors[0]).__name__}: {errors[0]}.")


def _nnx(module: Any, name: str) -> Layer:
    import jax
    from flax import nnx

    twin = copy.deepcopy(module)
    with contextlib.suppress(Exception):
        twin.eval()
    state = {".".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(nnx.state(twin, nnx.Param))}
    arrays = {path: np.array(leaf.get_value(), np.float64) for path, leaf in state.items()}

    def write(new: Mapping[str, Array]) -> None:
        with in_float64():
            for path, array in new.items():
                state[path].set_value(jax.numpy.asarray(array))
            nnx.update(twin, nnx.from_flat_state([(tuple(_key(k) for k in p.split(".")), v) for p, v in state.items()]))

    call = Compiled(lambda twin, *args, **kwargs: twin(*args, **kwargs), nnx.jit)

    def forward(*args: Any, **kwargs: Any) -> Any:
        with in_float64():
            return call(twin, *args, **kwargs)

    return _layer(twin, name, arrays, write, forward)


def _key(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def _layer(module: Any, name: str, arrays: Mapping[str, Array], write: Any, forward: Any) -> Layer:
    vars(forward)["__signature__"] = signature_of_method(type(module), "__call__")
    return Layer(
        name,
        tuple(_parameters(arrays)),
        write,
        forward,
        jax_array,
        numbers={key: value for key, value in vars(module).items() if type(value) is int},
        attributes=plain_attributes(module),
        framework="flax",
        owner="flax" if type(module).__module__.startswith("flax.") else type(module).__name__,
        source=source_of(type(module)),
        documentation=documentation_of(type(module)),
        function=f"{type(module).__name__}.__call__",
    )


def _parameters(arrays: Mapping[str, Array]) -> Iterator[Parameter]:
    for path, array in arrays.items():
        if not is_formula(path, array.shape):
            yield Parameter(path, array, "io" if path.endswith("kernel") and array.ndim == 2 else "")
