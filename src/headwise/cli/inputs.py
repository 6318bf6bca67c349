"""Inputs of models on the command line: a file, a text or a pair of texts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from headwise.data.array_files import load_npz
from headwise.errors import DataError

__all__ = ["read_input"]

_ARRAYS = (".npz", ".npy")


def read_input(argument: str | None, texts: list[str] | None) -> tuple[Any, Path]:
    """The input that a model takes, and a path from which names of output files follow.

    Raises
    ------
    DataError
        If there is none, there are several, or a file does not exist.
    """
    if texts:
        if argument is not None or len(texts) > 2:
            raise DataError("--text: expected one text, or two for a pair, and no other input.")
        return (texts[0] if len(texts) == 1 else tuple(texts)), Path(_slug(texts[0]))
    if argument is None:
        raise DataError("input: expected an image, an .npz file, or a text.")
    path = Path(argument)
    if path.suffix in _ARRAYS:
        arrays = load_npz(path, alone="input")
        return (arrays["input"] if list(arrays) == ["input"] else arrays), path
    if path.is_file() or (path.suffix and not re.search(r"\s", argument)):
        if not path.is_file():
            raise DataError(f"{path}: no such file.")
        return path, path
    return argument, Path(_slug(argument))


def _slug(text: str) -> str:
    """The beginning of a text as the name of a file."""
    return re.sub(r"\W+", "-", text.lower())[:40].strip("-") or "text"
