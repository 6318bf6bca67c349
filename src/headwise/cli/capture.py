"""``headwise capture``: attention of a model's own run, verified, as arrays."""

from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path
from typing import Annotated, Any

import typer

import headwise as hw
from headwise.cli.inputs import text_or_path
from headwise.cli.options import Json
from headwise.cli.paths import check_writable_file
from headwise.data.array_files import load_npz
from headwise.errors import DataError
from headwise.models import find_model
from headwise.models.frameworks import running

MODEL = "An .onnx file, FILE.py:OBJECT (a torch module), a folder with config.json, or a .gguf file."


def capture(
    model: Annotated[str, typer.Argument(help=MODEL)],
    input: Annotated[
        str,
        typer.Argument(
            help="Arrays as .npz (by the names of the model's inputs) or .npy; for a folder also an image file, a text "
            "file, or a text."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The .npz file to write.")] = Path("attention.npz"),
    layers: Annotated[
        list[str] | None, typer.Option(help="Keep this layer: its place, or a name in which * stands for anything.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a model once and save what it attends to.

    The model keeps its own kernel; every layer's weights are compared with that kernel's output. Status 1 if one is not
    verified.

    Example: `headwise capture model.onnx input.npz --out arrays.npz`
    """
    check_writable_file(out)
    opened = find_model(model)
    args, kwargs = _inputs(opened, input)
    selection = None if not layers else [int(name) if re.fullmatch("-?[0-9]{1,9}", name) else name for name in layers]
    with running({f"input {i}": array for i, array in enumerate(args, 1)} | kwargs):
        result = hw.capture(opened, *args, layers=selection, **kwargs)
    if as_json:
        result.save(out)
        print(json.dumps(_summary(result, out)))
    else:
        print(result.report())
        result.save(out)
        print(f"{len(result.layers)} layers in {out}")
    raise typer.Exit(0 if result.proven else 1)


def _summary(result: hw.Capture, out: Path) -> dict[str, Any]:
    """What the report says, and where the arrays are."""
    layers = [
        {
            **{name: getattr(layer, name) for name in ("index", "name", "kind", "shape", "proven", "note", "message")},
            "error": layer.error if math.isfinite(layer.error) else None,
        }
        for layer in result.layers
    ]
    return {"out": str(out), "proven": result.proven, "layers": layers, "ignored": result.ignored}


def _inputs(model: Any, text: str) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named inputs of the model."""
    path = Path(text)
    if path.suffix in (".npz", ".npy"):
        arrays = load_npz(path, alone="")
        if isinstance(model, Path) or hasattr(model, "record"):
            named = path.suffix == ".npz"
            return ([] if named else list(arrays.values())), (arrays if named else {})
        return _tensors(model, arrays, named=path.suffix == ".npz")
    if not hasattr(model, "preprocess"):
        raise DataError(f"{text}: expected arrays as .npz or .npy; the model does not say how to prepare other inputs.")
    return [], model.preprocess(text_or_path(text))


def _tensors(model: Any, arrays: dict[str, Any], named: bool) -> tuple[list[Any], dict[str, Any]]:
    """Tensors for a torch model: by name if they are named like its arguments, otherwise in order."""
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    parameters = inspect.signature(getattr(model, "forward", model)).parameters
    variable = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if named and (variable or all(name in parameters for name in tensors)):
        return [], tensors
    return list(tensors.values()), {}
