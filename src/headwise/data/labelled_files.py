"""Labelled inputs of a user: a folder of images with a subfolder for each class, or a CSV file of texts."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.shapes import IntArray

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


class LabelledFiles(NamedTuple):
    """Texts, or the paths of images, with a class each."""

    kind: Literal["image", "text"]
    inputs: tuple[str | Path, ...]
    labels: IntArray  # (B,): indices of `classes`
    classes: tuple[str, ...]  # in alphabetical order


def load_labelled(path: Path | str) -> LabelledFiles:
    """Read a folder ``CLASS/image.png``, or a CSV file with the columns ``text`` and ``label``.

    Raises DataError if there is no such file, it has other columns, or fewer than two classes.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.glob("*/*") if file.suffix.lower() in _IMAGES)
        return _labelled("image", files, [file.parent.name for file in files], path)
    if not path.is_file():
        raise DataError(f"{path}: no such file or folder.")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV file with the columns text and label ({error}).") from None
    if not rows or any(row.get("text") is None or row.get("label") is None for row in rows):
        columns = ", ".join(map(str, rows[0])) if rows else "none"
        raise DataError(f"{path}: expected the columns text and label in every row; got {columns}.")
    return _labelled("text", [row["text"] for row in rows], [row["label"] for row in rows], path)


def _labelled(
    kind: Literal["image", "text"], inputs: list[Path] | list[str], names: list[str], path: Path
) -> LabelledFiles:
    classes = tuple(sorted(set(names)))
    if len(classes) < 2:
        what = "a subfolder of images for each class" if kind == "image" else "at least two labels"
        raise DataError(f"{path}: expected {what}; got {', '.join(classes) or 'none'}.")
    return LabelledFiles(kind, tuple(inputs), np.array([classes.index(name) for name in names]), classes)
