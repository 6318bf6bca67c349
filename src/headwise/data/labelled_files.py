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
    rows = _read_rows(path)
    columns = [name.strip().lower() for name in rows[0]] if rows else []
    if columns.count("text") != 1 or columns.count("label") != 1:
        received = ", ".join(rows[0]) if rows else "none"
        raise DataError(f"{path}: expected the columns text and label; got {received}.")
    if len(rows) == 1:
        raise DataError(f"{path}: expected a text and a label in each row; it has no rows.")
    pairs = []
    for number, row in enumerate(rows[1:], 1):
        by_name = dict(zip(columns, map(str.strip, row), strict=False))
        pairs.append((by_name.get("text", ""), by_name.get("label", "")))
        if not all(pairs[-1]):
            raise DataError(f"{path}: expected a text and a label in each row; row {number} lacks one.")
    texts, labels = map(list, zip(*pairs, strict=True))
    return _labelled("text", texts, labels, path)


def _read_rows(path: Path) -> list[list[str]]:
    """The rows of a CSV file that are not empty, separated by commas, or by the semicolons or tabs of the first."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            delimiter = next((mark for mark in ";\t" if mark in first), ",")
            return [row for row in csv.reader(file, delimiter=delimiter) if any(row)]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected a CSV file with the columns text and label, in UTF-8 ({error}).") from None
    except csv.Error as error:
        raise DataError(f"{path}: expected a CSV file with the columns text and label ({error}).") from None


def _labelled(
    kind: Literal["image", "text"], inputs: list[Path] | list[str], names: list[str], path: Path
) -> LabelledFiles:
    classes = tuple(sorted(set(names)))
    if len(classes) < 2:
        what = "a subfolder of images for each class" if kind == "image" else "at least two labels"
        raise DataError(f"{path}: expected {what}; got {', '.join(classes) or 'none'}.")
    return LabelledFiles(kind, tuple(inputs), np.array([classes.index(name) for name in names]), classes)
