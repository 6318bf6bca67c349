"""torch modules under the `Model` protocol, models of transformers and timm among them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError
from headwise.hashing import fingerprint
from headwise.models.base import Capability
from headwise.models.frameworks.arguments import STATE_SCORES, InputOptions, InputReader, is_score
from headwise.models.frameworks.framework_model import Arrays, FrameworkModel
from headwise.models.frameworks.locations import PatchSizes, prefix_labels
from headwise.models.preprocess.images import from_timm
from headwise.recorder import Capture, capture
from headwise.shapes import Array

_PATCHES = ("patch_size", "patch", "patch_stride")


def torch_model(module: Any, options: InputOptions) -> FrameworkModel:
    """A torch module under the `Model` protocol.

    Raises
    ------
    DataError
        If the module is in training mode, in which dropout makes every run different; if it has no weights, or is
        TorchScript, whose attention cannot be recorded.
    """
    import torch

    module = getattr(module, "_orig_mod", module)  # a compiled module is compiled again for every number of items
    if isinstance(module, torch.jit.ScriptModule):
        raise DataError("module: TorchScript runs compiled; pass the module that was traced or scripted.")
    if any(parameter.is_meta for parameter in module.parameters()):
        raise DataError("module: its parameters have no values (device meta); load them first.")
    if module.training:
        raise DataError("module: expected a module in evaluation mode; call module.eval() first.")
    names, scores = _argument_names(module), options.scores
    missing: dict[Capability, str] = {}
    if scores is None and getattr(module, "num_classes", None) == 0:
        missing = dict.fromkeys(("predict", "gradients"), "The model has no classes (num_classes=0), so no scores.")

    def run(arrays: Arrays) -> npt.NDArray[Any]:
        args, tensors = _tensors(module, names, arrays)
        with torch.no_grad():
            found = _scores(module(*args, **tensors), scores)
        if found.ndim == 3 and "decoder_input_ids" in tensors:
            found = found[:, -1]  # of the next token of the decoder
        return np.asarray(found.detach().float().cpu().numpy())

    def record(arrays: Arrays, layer: int | str | None) -> Capture:
        args, tensors = _tensors(module, names, arrays)
        with torch.no_grad():
            return capture(module, *args, layers=layer, **tensors)

    def gradient(arrays: Arrays, target: int) -> tuple[Array, ...]:
        from headwise.recorder.torch_gradients import attention_gradients

        args, tensors = _tensors(module, names, arrays)
        return attention_gradients(module, args, tensors, lambda output: _target(_scores(output, scores), target))

    reads_images = any(p.ndim == 4 for p in module.parameters())
    reader = InputReader.of(names, options, reads_images, options.preprocess or _stated_preprocessing(module))
    return FrameworkModel(
        run,
        record,
        reader,
        None if missing else gradient,
        missing,
        _patches(module, options),
        prefix_labels([(name, tuple(p.shape)) for name, p in module.named_parameters()]),
        options.fill,
        None if reader.texts is None else reader.texts.replacement,
        batches=True,
        double=lambda: torch_model(copy.deepcopy(module).double(), options),
        weights_digest=lambda: fingerprint(
            *(parameter.detach().float().cpu().numpy() for _, parameter in sorted(module.named_parameters()))
        ),
    )


def _argument_names(module: Any) -> list[str]:
    """Arguments of the module's forward in order; empty if it takes any."""
    single = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, p in inspect.signature(module.forward).parameters.items() if p.kind not in single]


def _tensors(module: Any, names: list[str], arrays: Arrays) -> tuple[list[Any], dict[str, Any]]:
    """Arrays as tensors where the module is, floats in its type: in order, or by name where it has that name."""
    import torch

    first = next((p for p in module.parameters() if p.is_floating_point()), None)
    device, dtype = (None, None) if first is None else (first.device, first.dtype)
    config = getattr(module, "config", None)
    start = getattr(config, "decoder_start_token_id", None) or 0
    if getattr(config, "is_encoder_decoder", False) and not any("decoder" in name for name in arrays):
        items = len(next(iter(arrays.values())))
        arrays = {**arrays, "decoder_input_ids": np.full((items, 1), start)}
    tensors = {}
    for name, array in arrays.items():
        tensor = torch.as_tensor(np.ascontiguousarray(array), device=device)
        tensors[name] = tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
    by_name = not names or all(name in names for name in tensors)
    variable = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(module.forward).parameters.values())
    if (by_name and (names or variable)) or (variable and len(tensors) > 1):
        return [], tensors
    return list(tensors.values()), {}


def _scores(output: Any, scores: Callable[[Any], Any] | None) -> Any:
    """The tensor of scores in a model's output."""
    if scores is not None:
        return scores(output)
    for name in ("logits", "logits_per_image"):
        tensor = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
        if tensor is not None:
            return tensor
    if isinstance(output, Mapping):
        named = [value for name, value in output.items() if is_score(name)]
        if not named:
            raise DataError(f"model: it returns {', '.join(output)}, and no scores. {STATE_SCORES}.")
        tensor = named[0]
    else:
        tensor = output
    while isinstance(tensor, list | tuple) and tensor:
        tensor = tensor[0]
    if not hasattr(tensor, "detach"):
        raise DataError(f"model: expected a tensor of scores; got {type(output).__name__}. {STATE_SCORES}.")
    return tensor


def _target(scores: Any, target: int) -> Any:
    """One score: of a class, or of a next token."""
    row = scores.reshape(-1, scores.shape[-1])[-1] if scores.ndim == 3 else scores.reshape(-1)
    if not 0 <= target < len(row):
        raise DataError(f"target: expected 0 to {len(row) - 1}; got {target}.")
    return row[target]


def _patches(module: Any, options: InputOptions) -> PatchSizes:
    """What the user or the configuration states, or else candidates: of a part, and the stride of a convolution."""
    config, part = getattr(module, "config", None), getattr(module, "patch_embed", module)
    stated = [getattr(config, name, None) for name in _PATCHES] if options.patch is None else [options.patch]
    if sizes := _pairs(stated):
        return PatchSizes(sizes, stated=True)
    strides = (
        part.stride
        for part in module.modules()
        if getattr(getattr(part, "weight", None), "ndim", 0) == 4 and min(np.ravel(getattr(part, "stride", 1))) > 1
    )
    return PatchSizes(_pairs([*(getattr(part, name, None) for name in _PATCHES), next(strides, None)]))


def _pairs(candidates: Sequence[Any]) -> tuple[tuple[int, int], ...]:
    """Heights and widths from numbers and pairs; other values are left out."""
    sizes = [np.ravel(size) for size in candidates if isinstance(size, int | list | tuple) and np.size(size) in (1, 2)]
    return tuple(dict.fromkeys((int(size[0]), int(size[-1])) for size in sizes))


def _stated_preprocessing(module: Any) -> Any:
    """What a model of timm says about its images."""
    stated = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    if not isinstance(stated, Mapping) or "input_size" not in stated:
        return None
    channels = int(stated["input_size"][0])
    size = getattr(getattr(module, "patch_embed", None), "img_size", None)  # it may have been made for another
    stated = {**stated, "input_size": (channels, *size)} if size else stated
    return from_timm({"pretrained_cfg": dict(stated)}, channels)
