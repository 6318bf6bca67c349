"""``headwise inspect``: what a model is, without running it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from headwise.cli.capture import MODEL
from headwise.errors import HeadwiseError
from headwise.models import CAPABILITIES, find_model, open_model


def inspect(model: Annotated[str, typer.Argument(help=MODEL)]) -> None:
    """Say what a model is: family, sizes, options, attention layers, and which tools support it.

    Example: `headwise inspect model.onnx`
    """
    opened = find_model(model)
    if isinstance(opened, Path):
        lines = list(_onnx(opened))
    else:
        lines = list(_loaded(opened) if hasattr(opened, "family") else _torch(opened))
    if not lines[-1][1].startswith("none: "):
        lines += _tools(opened)
    for name, value in lines:
        print(f"{name:<11} {value}")


def _tools(model: Any) -> Iterator[tuple[str, Any]]:
    """What the tools can do with the model, and why not the rest."""
    yield "tools", "capture, caption"
    try:
        opened = open_model(model)
    except HeadwiseError as error:
        yield "protocol", f"none: {error}"
        return
    yield "protocol", ", ".join(name for name in CAPABILITIES if name in opened.capabilities)
    for name, reason in opened.missing.items():
        yield "not", f"{name}: {reason}"


def _onnx(path: Path) -> Iterator[tuple[str, Any]]:
    from headwise.recorder.onnx_run import describe_onnx

    yield "format", "ONNX"
    yield from describe_onnx(path)


def _loaded(model: Any) -> Iterator[tuple[str, Any]]:
    yield "family", model.family
    yield "type", model.dtype
    towers = [model.vision, model.text] if hasattr(model, "vision") else [model]
    arrays = {id(array): array for tower in towers for array in tower.params.values()}
    yield "parameters", f"{sum(array.size for array in arrays.values()):,}"
    for name, value in model.config.items():
        if isinstance(value, int | float | str | bool | None):
            yield "option", f"{name} = {value}"
    for tower in towers:
        for name in tower.architecture.attention_names:
            yield "attention", name


def _torch(model: Any) -> Iterator[tuple[str, Any]]:
    yield "class", f"{type(model).__module__}.{type(model).__qualname__}"
    if hasattr(model, "named_parameters"):
        parameters = dict(model.named_parameters())
        yield "parameters", f"{sum(p.numel() for p in parameters.values()):,}"
        yield "types", ", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in parameters.values()}))
        for name, module in model.named_modules():
            if "attention" in type(module).__name__.lower():
                yield "attention?", f"{name} ({type(module).__name__})"
        yield "", "`headwise capture` finds the attention calls by running the model"
