"""Inputs of models on the command line: a file, a text or a pair of texts."""

from __future__ import annotations

import os
import re
from mimetypes import guess_type
from pathlib import Path
from typing import Annotated, Any

import typer

from headwise.data.array_files import load_npz
from headwise.errors import DataError
from headwise.files import check_file
from headwise.models.preprocess.images import NORMALIZATIONS, RESAMPLING, ImagePreprocessor
from headwise.validation import check_choice

Model = Annotated[
    str | None,
    typer.Option(
        help="A folder with config.json, a .gguf, an .onnx file, FILE.py:OBJECT, or parameters from `headwise "
        "train`; by default a pretrained model of handwritten digits."
    ),
]
Text = Annotated[list[str] | None, typer.Option("--text", help="A text; twice for a pair of texts.")]
Tokenizer = Annotated[
    str | None,
    typer.Option(help="The tokenizer of a torch or ONNX model of texts: a tokenizer.json, or the folder that has one."),
]
Layers = Annotated[
    str,
    typer.Option(
        help="Which attention: self or cross of an encoder–decoder; of torch and ONNX models also names of modules, "
        "such as 'stages.1.*'."
    ),
]
Preprocess = Annotated[
    str | None, typer.Option(help=f"How an image is normalised for an .onnx file: {', '.join(NORMALIZATIONS)}.")
]
Size = Annotated[int, typer.Option(min=1, help="Height and width of the image with --preprocess.")]

_ARRAYS = (".npz", ".npy")


def read_input(argument: str | None, texts: list[str] | None) -> tuple[Any, Path]:
    """The input that a model takes, and a path from which names of output files follow."""
    if texts:
        if argument is not None or len(texts) > 2:
            raise DataError("--text: expected one text, or two for a pair, and no other input.")
        return (texts[0] if len(texts) == 1 else tuple(texts)), Path(_slug(texts[0]))
    if argument is None or not argument.strip():
        raise DataError("input: expected an image, an .npz file, a text file, or a text.")
    path = Path(argument)
    _check_place(argument)
    if path.suffix.lower() in _ARRAYS:
        arrays = load_npz(path, alone="input")
        return (arrays["input"] if list(arrays) == ["input"] else arrays), path
    if os.path.isfile(argument) or (path.suffix and not re.search(r"\s", argument)):
        check_file(path)
        return text_or_path(argument), path
    return argument, Path(_slug(argument))


def _check_place(argument: str) -> None:
    """Raise DataError for what is neither a file nor a text, although it could be read as a text."""
    if argument == "-":
        raise DataError("input: expected a file or a text; standard input is not read. Name a file.")
    if re.fullmatch(r"\w+://\S+", argument):
        raise DataError(
            f"input: expected a file or a text; got the address {argument}. Download it, and name the file."
        )
    if os.path.isdir(argument):
        raise DataError(f"{argument}: is a folder; expected a file. A text of this name is passed with --text.")


def text_or_path(argument: str) -> str | Path:
    """The text in a file, the path of any other file, or the argument itself if it is no file."""
    if not os.path.isfile(argument):
        return argument
    path = Path(argument)
    kind = guess_type(path.name)[0] or ""
    if kind.startswith("image/"):
        return path
    try:
        text = path.read_text("utf-8-sig").strip()
    except UnicodeDecodeError:
        if kind.startswith("text/"):
            raise DataError(f"{path}: expected text in UTF-8.") from None
        return path
    return path if "\0" in text else text


def image_preprocessor(name: str | None, size: int) -> ImagePreprocessor | None:
    """Resizes an image to a square of this many pixels and normalises its colours; None without a name."""
    if name is None:
        return None
    check_choice("--preprocess", name, NORMALIZATIONS)
    mean, std = NORMALIZATIONS[name]
    return ImagePreprocessor(size=(size, size), resample=RESAMPLING["bicubic"], mean=mean, std=std)


def parse_size(option: str, text: str | None) -> tuple[int, int] | None:
    """Two numbers, such as 4x4; None without a text."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{,8})x([1-9][0-9]{,8})", text)
    if not match:
        raise DataError(f"{option}: expected rows x columns, such as 4x4; got {text!r}.")
    return int(match[1]), int(match[2])


def _slug(text: str) -> str:
    """The beginning of a text as the name of a file."""
    return re.sub(r"\W+", "-", text.lower())[:40].strip("-") or "text"
