"""The .ts format of the time series classification archives, parsed: a header, then a series a line.

A line of data holds the variables between colons, the steps of each between commas, and the label last.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.files import check_file
from headwise.shapes import Array
from headwise.validation import is_number


class Parsed(NamedTuple):
    """Series (n, V) with their labels: names of classes, or numbers to predict if `numbers` is True."""

    series: list[Array]
    labels: list[str]
    numbers: bool


def read_ts(path: Path) -> Parsed:
    """Read one .ts file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    DataError
        If the file is missing or unreadable, says that it has time stamps or no labels, or a line has missing values,
        variables of unequal length, or another number of variables than the first.
    """
    check_file(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from None
    header, start = _header(path, lines)
    if header.get("timestamps", ["false"])[0].lower() == "true":
        raise DataError(f"{path}: holds time stamps, which are not supported; resample it to even steps without them.")
    numbers = header.get("targetlabel", ["false"])[0].lower() == "true"
    if not numbers and header.get("classlabel", ["false"])[0].lower() != "true":
        raise DataError(
            f"{path}: its header promises no labels (@classLabel or @targetLabel); there is nothing to learn."
        )
    classes = set(header.get("classlabel", [])[1:])
    series: list[Array] = []
    labels: list[str] = []
    for number, line in enumerate(lines[start:], start + 1):
        if not line.strip() or line.startswith(("#", "%")):
            continue
        *variables, label = line.strip().split(":")
        where, label = f"{path}, line {number}", label.strip()
        item = _series(where, variables)
        if series and item.shape[1] != series[0].shape[1]:
            raise DataError(
                f"{where}: expected {series[0].shape[1]} variables between colons, as in the first series; "
                f"got {item.shape[1]}."
            )
        if classes and label not in classes:
            raise DataError(f"{where}: the class {label!r} is not in the header's list ({', '.join(sorted(classes))}).")
        series.append(item)
        labels.append(label)
    if not series:
        raise DataError(f"{path}: no series after @data; the set is empty.")
    return Parsed(series, labels, numbers)


def _header(path: Path, lines: list[str]) -> tuple[dict[str, list[str]], int]:
    """The header's entries by name in lower case, and where the data begin."""
    header: dict[str, list[str]] = {}
    for i, line in enumerate(lines):
        if line.startswith("@"):
            name, *values = line[1:].split() or [""]
            if name.lower() == "data":
                return header, i + 1
            header[name.lower()] = values or ["false"]
    raise DataError(f"{path}: no line @data; expected a .ts file with a header.")


def _series(where: str, variables: list[str]) -> Array:
    """One series (n, V)."""
    if not variables:
        raise DataError(f"{where}: expected values, a colon and a label; got no colon.")
    columns = [_column(where, text) for text in variables]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise DataError(
            f"{where}: its variables have {min(lengths)} to {max(lengths)} steps; every step needs all variables."
        )
    return np.stack(columns, axis=1)


def _column(where: str, text: str) -> Array:
    values = [value.strip() for value in text.split(",")]
    if any(value == "?" or value.lower() == "nan" for value in values):
        raise DataError(f"{where}: missing values (? or NaN); fill them in, by interpolation say, or drop the series.")
    try:
        column = np.array(values, np.float64)
    except ValueError:
        invalid = next(value for value in values if not is_number(value))
        raise DataError(f"{where}: expected numbers between commas; got {invalid[:40]!r}.") from None
    if not (np.abs(column) <= np.finfo(np.float32).max).all():
        raise DataError(f"{where}: holds a number that is infinite or beyond what float32 can hold.")
    return column
