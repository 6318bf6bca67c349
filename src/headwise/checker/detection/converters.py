"""What arrays are turned into before a function gets them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from headwise.checker.arguments.documentation import Documentation
from headwise.checker.modules.tensorflow_tensors import tensorflow_tensor
from headwise.checker.user_code.numpy_guard import np
from headwise.errors import MissingExtraError
from headwise.shapes import Array


def converters_for(documentation: Documentation, adapter: object) -> list[Callable[[Array], Any]]:
    """The arrays that a function may take, the likeliest first: NumPy's, torch's, JAX's or TensorFlow's."""
    if adapter == "torch":
        return [_tensor]
    converters: list[Callable[[Array], Any]] = [np.asarray]
    if "torch" in sys.modules:
        imported = {*re.findall(r"^\s*(?:import|from) (numpy|torch|jax)\b", documentation.source, re.MULTILINE)}
        converters = [_tensor, np.asarray] if imported == {"torch"} else [np.asarray, _tensor]
    if "jax" in sys.modules and re.search(r"\b(jnp|jax|lax)\.", documentation.code_with_helpers):
        return [_jax_array, *converters]  # which can be indexed by what is traced
    if "tensorflow" in sys.modules and re.search(r"\b(tf|tensorflow)\.", documentation.code_with_helpers):
        return [tensorflow_tensor, *converters]
    return converters


def _tensor(a: Array) -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        raise MissingExtraError('adapter="torch"', "torch", "parity") from None
    return torch.from_numpy(np.ascontiguousarray(a))


def _jax_array(a: Array) -> Any:
    return sys.modules["jax"].numpy.asarray(a)
