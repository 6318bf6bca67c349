"""Tensors of TensorFlow, in float32 as its code assumes: TensorFlow does not compute with two types at once."""

from __future__ import annotations

import sys
from typing import Any

from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array


def is_tensorflow_tensor(value: Any) -> bool:
    """Whether a value is a tensor or a variable of TensorFlow."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(value, (tensorflow.Tensor, tensorflow.Variable))


def tensorflow_tensor(array: Array) -> Any:
    """A tensor of an array, in float32 in place of float64."""
    import tensorflow

    return tensorflow.convert_to_tensor(array, tensorflow.float32 if array.dtype == np.float64 else None)
