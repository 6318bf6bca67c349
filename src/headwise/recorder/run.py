"""`capture`: run a model once and return what it attended to."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from headwise.errors import DataError
from headwise.recorder.collect import Collector, Selection
from headwise.recorder.result import Capture


@runtime_checkable
class Recordable(Protocol):
    """A model that records its own attention, such as one from `headwise.load`."""

    def record(self, **arrays: Any) -> Capture:
        """Run once on these arrays and return every attention call."""


def capture(model: Any, /, *args: Any, layers: Selection = None, **kwargs: Any) -> Capture:
    """Run a model once, as it is, and return every attention call in execution order.

    The model keeps its own kernel: fused kernels too, which return no weights. Queries, keys, values and the mask rule
    are stored, not N × M arrays, and weights are computed from them on demand. Each layer compares p·v with the output
    of the model's kernel.

    Parameters
    ----------
    model : torch.nn.Module, str or Path, or a model from `headwise.load`
        A torch module, or a method of one such as ``model.generate``; a path to an .onnx file; or a loaded model.
    *args, **kwargs
        What the model is called with.
    layers : int, str or sequence of them, optional
        Which attention calls to keep: places in execution order (negative ones from the end), or names of modules, in
        which ``*`` stands for anything. All by default. If the model itself has an argument ``layers``, bind it with
        ``functools.partial(model, layers=...)``.

    Returns
    -------
    Capture
        ``.output`` is the model's return value, ``.layers`` its attention calls.

    Raises
    ------
    CaptureError
        If the model has no attention, or attention that cannot be followed; the message says why.
    DataError
        If `model` is none of the above, or `layers` names no attention call.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> model = torch.nn.TransformerEncoderLayer(8, nhead=2, batch_first=True).eval()
    >>> found = capture(model, torch.zeros(1, 5, 8))
    >>> [(layer.name, layer.kind, layer.weights().shape, layer.proven) for layer in found.layers]
    [('self_attn', 'self', (1, 2, 5, 5), True)]
    """
    if isinstance(model, str | Path):
        from headwise.recorder.onnx_run import capture_onnx

        return capture_onnx(Path(model), args, kwargs, layers)
    if isinstance(model, Recordable):
        return _select(model.record(*args, **kwargs), layers)
    if hasattr(model, "look") and hasattr(model, "capabilities"):
        return _select(model.look(*args, **kwargs), layers)
    hint = other_framework(model)
    # a module, a method of one, or a function that may use torch
    if not hint and "torch" in sys.modules and callable(model):
        _check_layers_argument(model)
        from headwise.recorder.torch_run import capture_torch

        return capture_torch(model, args, kwargs, layers)
    if isinstance(model, Mapping):
        hint = " Parameters alone cannot run: load them into their module."
    raise DataError(
        "model: expected a torch module, a path to an .onnx file, or a model from headwise.load; got "
        f"{type(model).__name__}.{hint}"
    )


def other_framework(model: Any) -> str:
    """What to do with a model of a framework whose attention cannot be recorded; empty for other objects."""
    torch = sys.modules.get("torch")
    packages = {part.__module__.partition(".")[0] for part in type(model).__mro__}
    if not packages & {"keras", "flax", "tensorflow"} or (torch is not None and isinstance(model, torch.nn.Module)):
        return ""
    return (
        " Models of Keras and flax are not run: save their attention weights (return_attention_scores=True in Keras, "
        "sow_weights=True in flax) and pass the arrays to `headwise caption`."
    )


def _select(capture: Capture, layers: Selection) -> Capture:
    """The same capture with the chosen layers alone."""
    collector = Collector(layers)
    for layer in capture.layers:
        if collector.selects(layer.name, layer.kind, *layer.shape[2:]):
            collector.add(layer)
    return replace(capture, layers=collector.finish())


def _check_layers_argument(model: Callable[..., Any]) -> None:
    """Refuse a model with an argument of the name that `capture` takes for itself."""
    torch = sys.modules["torch"]
    try:
        names = inspect.signature(model.forward if isinstance(model, torch.nn.Module) else model).parameters
    except (TypeError, ValueError):
        return
    if "layers" in names and not hasattr(model, "func"):
        raise DataError(
            "layers: the model has an argument of this name too; bind it with functools.partial(model, layers=...)."
        )
