"""``headwise inspect``: what a model is, without running it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from headwise.cli.capture import MODEL
from headwise.cli.options import Json
from headwise.errors import HeadwiseError
from headwise.models import CAPABILITIES, find_model, open_model
from headwise.recorder import other_framework


def inspect(model: Annotated[str, typer.Argument(help=MODEL)], as_json: Json = False) -> None:
    """Say what a model is: family, sizes, options, attention layers, and which tools support it.

    Example: `headwise inspect model.onnx`
    """
    opened = find_model(model)
    if isinstance(opened, Path):
        facts = _onnx(opened)
    else:
        facts = _loaded(opened) if hasattr(opened, "family") else _torch(opened)
    if facts.get("attention") != []:
        facts |= _tools(opened)
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        for line in _lines(value):
            print(f"{name:<11} {line}")


def _lines(value: Any) -> Iterator[str]:
    """The lines that show a fact: one for each entry of a list or a dictionary, a tuple in one line."""
    if isinstance(value, dict):
        yield from (f"{name} = {entry}" for name, entry in value.items())
    elif isinstance(value, list):
        yield from value
    elif isinstance(value, tuple):
        yield ", ".join(value) or "none"
    else:
        yield f"{value:,}" if isinstance(value, int) else value


def _tools(model: Any) -> dict[str, Any]:
    """What the tools can do with the model, and why not the rest."""
    tools: tuple[str, ...] = ("capture", "caption")
    try:
        opened = open_model(model)
    except HeadwiseError as error:
        return {"tools": () if other_framework(model) else tools, "protocol": (), "not": [f"protocol: {error}"]}
    if {"tokens", "look"} <= opened.capabilities:
        tools += ("explain", "explore")
    return {
        "tools": tools,
        "protocol": tuple(name for name in CAPABILITIES if name in opened.capabilities),
        "not": [f"{name}: {reason}" for name, reason in opened.missing.items()],
    }


def _onnx(path: Path) -> dict[str, Any]:
    from headwise.recorder.onnx_run import describe_onnx

    return {"format": "ONNX", **describe_onnx(path)}


def _loaded(model: Any) -> dict[str, Any]:
    towers = [model.vision, model.text] if hasattr(model, "vision") else [model]
    arrays = {id(array): array for tower in towers for array in tower.params.values()}
    return {
        "family": model.family,
        "type": str(model.dtype),
        "parameters": sum(array.size for array in arrays.values()),
        "option": {n: value for n, value in model.config.items() if isinstance(value, int | float | str | bool | None)},
        "attention": [name for tower in towers for name in tower.architecture.attention_names],
    }


def _torch(model: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"class": f"{type(model).__module__}.{type(model).__qualname__}"}
    if not hasattr(model, "named_parameters"):
        return facts
    parameters = list(model.parameters())
    return {
        **facts,
        "parameters": sum(p.numel() for p in parameters),
        "types": tuple(sorted({str(p.dtype).removeprefix("torch.") for p in parameters})),
        "candidates": [
            f"{name} ({type(module).__name__})"
            for name, module in model.named_modules()
            if "attention" in type(module).__name__.lower()
        ],
        "note": "`headwise capture` finds the attention calls by running the model",
    }
