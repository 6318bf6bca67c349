"""Running a user's code on the processor, in full precision, whatever device it asks for."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

_NAMED = re.compile(r"\b(?:cuda|mps|xpu|hpu|npu)\b")
_TORCH = re.compile(r"^\s*(?:import|from) torch\b", re.MULTILINE)
_KEPT = ("cpu", "meta")
_HIDDEN = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}

_state = {"named": False}  # whether a file that was read names a device


def prepare_devices(source: str) -> None:
    """Hide accelerators from frameworks that are not imported yet, and note whether a file names a device.

    Without them a file behaves the same on every machine, and other programs keep their memory.
    """
    os.environ.update(_HIDDEN)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reports errors that are caught, too
    if _NAMED.search(source) and _TORCH.search(source):
        _state["named"] = True
        with contextlib.suppress(ImportError):
            importlib.import_module("torch")  # so that what the file creates when imported is redirected


@contextlib.contextmanager
def on_processor() -> Iterator[None]:
    """Let torch and JAX create, move and read arrays on the processor only, where there could be another device."""
    with contextlib.ExitStack() as stack:
        torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
        if torch is not None and hasattr(torch, "overrides") and (_state["named"] or _has_accelerator()):
            stack.enter_context(_redirection()())
        if torch is not None and hasattr(torch, "cuda"):
            stack.enter_context(_types_of_processor())
        if jax is not None and hasattr(jax, "default_backend") and jax.default_backend() != "cpu":
            stack.enter_context(jax.default_device(jax.local_devices(backend="cpu")[0]))
            stack.enter_context(jax.default_matmul_precision("highest"))
        yield


@contextlib.contextmanager
def _types_of_processor() -> Iterator[None]:
    """Let `torch.cuda.FloatTensor` and the like be the types without a device."""
    of_device, of_processor = _types()
    names = vars(sys.modules["torch"].cuda)
    names.update(of_processor)
    try:
        yield
    finally:
        names.update(of_device)


@functools.cache
def _types() -> tuple[dict[str, Any], dict[str, Any]]:
    """The types of tensors on a device by their names, and those without one."""
    import torch

    names = [name for name in vars(torch.cuda) if name.endswith("Tensor") and name in vars(torch)]
    return {name: getattr(torch.cuda, name) for name in names}, {name: getattr(torch, name) for name in names}


@functools.cache
def _has_accelerator() -> bool:
    import torch

    return bool(torch.cuda.is_available() or torch.backends.mps.is_available())


@functools.cache
def _redirection() -> type:
    """A mode of torch that replaces devices, and tensors on devices, among the arguments of its functions."""
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._device import _device_constructors as constructors

    def moved(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value if value.device.type in _KEPT else value.cpu()
        if isinstance(value, torch.device):
            return value if value.type in _KEPT else torch.device("cpu")
        return type(value)(map(moved, value)) if type(value) in (list, tuple) else value

    def redirect(self: Any, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, given = moved(tuple(args)), {key: moved(value) for key, value in (kwargs or {}).items()}
        if function is torch.Tensor.cuda:
            return args[0]
        if function is torch.Tensor.to:
            args = tuple("cpu" if isinstance(value, str) else value for value in args)
        if given.get("device") is not None or function in constructors():
            given["device"] = "cpu"  # else a default device would be set after this
        return function(*args, **given)

    return type("Redirection", (TorchFunctionMode,), {"__torch_function__": redirect})
