"""Calling a module of torch in float64, whatever its code says about types."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

_OF_TYPES = re.compile(r"dtype|scalar type|type (F|f)loat|type Double|Float and Double")  # in a message of torch


def in_float64(module: Callable[..., Any]) -> Callable[..., Any]:
    """The call of a module without gradients, in which `mask.float()` is float64 next to tokens that are.

    A module that converts some of its arrays to float32 and cannot go on with these next to its float64 weights is
    called in float64 throughout, from then on.
    """
    import torch

    throughout = False

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal throughout
        narrow = any(isinstance(a, torch.Tensor) and a.dtype == torch.float32 for a in (*args, *kwargs.values()))
        with torch.no_grad():
            if narrow:
                return module(*args, **kwargs)
            if not throughout:
                try:
                    with _flags_in_float64():
                        return module(*args, **kwargs)
                except RuntimeError as error:
                    if not _OF_TYPES.search(str(error)):
                        raise
            with _float64_for_float32():
                result = module(*args, **kwargs)
            throughout = True
            return result

    return call


@contextlib.contextmanager
def _flags_in_float64() -> Iterator[None]:
    """Let `mask.float()` be float64: in float32 the least number of float64 is infinite, and no mask."""
    import torch

    plain = torch.Tensor.float

    def as_numbers(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        return tensor.double() if tensor.dtype == torch.bool else plain(tensor, *args, **kwargs)

    with _replaced(torch.Tensor, "float", as_numbers):
        yield


@contextlib.contextmanager
def _float64_for_float32() -> Iterator[None]:
    """Let functions of torch convert to float64, and create it, where they are to do so with float32."""
    import torch

    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with contextlib.ExitStack() as stack:
            for where in (torch, torch.cuda):
                stack.enter_context(_replaced(where, "FloatTensor", torch.DoubleTensor))
            stack.enter_context(_mode()())
            yield
    finally:
        torch.set_default_dtype(usual)


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@functools.cache
def _mode() -> type:
    torch = sys.modules["torch"]

    def wide(value: Any) -> Any:
        return torch.float64 if value is torch.float32 else value

    def call(self: Any, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        function = torch.Tensor.double if function is torch.Tensor.float else function
        return function(*map(wide, args), **{name: wide(value) for name, value in (kwargs or {}).items()})

    return type("Float64", (torch.overrides.TorchFunctionMode,), {"__torch_function__": call})
