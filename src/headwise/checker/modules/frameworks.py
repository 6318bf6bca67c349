"""The frameworks whose layers can be checked, one `Framework` each; those that are not imported recognise nothing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headwise.checker.modules.estimators import fitted, is_unfitted
from headwise.checker.modules.flax_modules import flax_layer, flax_names, is_flax_class, is_flax_module
from headwise.checker.modules.functions import holds_matrices
from headwise.checker.modules.inside import attention_sites
from headwise.checker.modules.keras_layers import (
    is_keras_class,
    is_keras_layer,
    keras_layer,
    keras_names,
    keras_sublayers,
)
from headwise.checker.modules.layer import Layer
from headwise.checker.modules.plain_classes import call_method, plain_layer, plain_names, plain_submodules
from headwise.checker.modules.torch_modules import is_torch_class, is_torch_module, torch_layer, torch_submodules
from headwise.errors import DataError


@dataclass(frozen=True, slots=True)
class Framework:
    """How to look into the layers of a framework."""

    names: Callable[[Any], list[str]]  # the paths of everything that a layer learns
    parts: Callable[[Any], dict[str, Any]]  # a layer's parts by their paths, itself under the empty path
    layer: Callable[[Any, str, str | None], Layer]  # ``layer(part, name, method)`` copies a part


# parameters that weights are made of, by `torch.nn.utils.parametrize`, or by pruning and `spectral_norm`
_MADE_OF = re.compile(r"parametrizations\.(\w+)\.original\d*$|(\w+)_orig$")


def _torch_names(module: Any) -> list[str]:
    """Those of weights that are made of others at each call, as by a norm of weights, are as if they were not."""
    names = [name for name, _ in module.named_parameters()]
    pairs = {name[:-2] for name in names if name.endswith("_g") and f"{name[:-1]}v" in names}  # of `weight_norm`
    return list(dict.fromkeys(name[:-2] if name[:-2] in pairs else _MADE_OF.sub(r"\1\2", name) for name in names))


def _plain_layer(value: Any, name: str, method: str | None) -> Layer:
    method = method or call_method(value)
    if method is None:
        raise DataError(f"{type(value).__name__}: expected a method forward or __call__; it has none.")
    return plain_layer(value, name, method)


_TORCH = Framework(_torch_names, torch_submodules, lambda part, name, _: torch_layer(part, name))
_KERAS = Framework(keras_names, keras_sublayers, lambda part, name, _: keras_layer(part, name))
_FLAX = Framework(flax_names, lambda module: {"": module}, lambda part, name, _: flax_layer(part, name))
_PLAIN = Framework(plain_names, plain_submodules, _plain_layer)


def framework_of(instance: Any) -> Framework:
    """The framework that an instance belongs to."""
    if is_keras_layer(instance):  # before torch: under its backend a layer is a module of torch too
        return _KERAS
    if is_torch_module(instance):
        return _TORCH
    return _FLAX if is_flax_module(instance) else _PLAIN


def with_weights(instance: Any) -> Any:
    """An instance, or a copy of it that is fitted, if its class is in scikit-learn's style."""
    return fitted(instance) if framework_of(instance) is _PLAIN and is_unfitted(instance) else instance


def is_module(value: Any) -> bool:
    """Whether a value is checked as a module: it holds weights, or is a class or a method of something that does.

    A function holds the matrices that are variables of its file.
    """
    if inspect.isclass(value):
        return is_torch_class(value) or is_keras_class(value) or is_flax_class(value) or call_method(value) is not None
    if inspect.ismethod(value):
        return not inspect.isclass(value.__self__) and is_module(value.__self__)
    if is_torch_module(value) or is_keras_layer(value) or is_flax_module(value) or holds_matrices(value):
        return True
    if inspect.isroutine(value) or not hasattr(value, "__dict__") or call_method(value) is None:
        return False
    return is_unfitted(value) or bool(attention_sites(plain_names(value), plain_submodules(value)))
