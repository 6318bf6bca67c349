r"""The formats of the time series classification archives, parsed; each has a series a line.

- .ts: after a header, the variables between colons, the steps of each between commas, and the label last;
- .arff: after a header, the steps between commas and the label last; several variables stand in quotation marks with
  ``\n`` between them;
- .tsv and .txt: the label first, then the steps between tabs, blanks or commas. Missing values at the end are padding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
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
    lines = _lines(path)
    header, start = _header(path, lines)
    if header.get("timestamps", ["false"])[0].lower() == "true":
        raise DataError(f"{path}: holds time stamps, which are not supported; resample it to even steps without them.")
    numbers = header.get("targetlabel", ["false"])[0].lower() == "true"
    if not numbers and header.get("classlabel", ["false"])[0].lower() != "true":
        raise DataError(
            f"{path}: its header promises no labels (@classLabel or @targetLabel); there is nothing to learn."
        )
    classes = set(header.get("classlabel", [])[1:])
    rows = []
    for where, line in _data(path, lines, start):
        *variables, label = line.split(":")
        rows.append((where, variables, label))
    return Parsed(*_series_and_labels(path, rows, classes), numbers)


def read_arff(path: Path) -> Parsed:
    """Read one .arff file; raises DataError as `read_ts`."""
    lines = _lines(path)
    _, start = _header(path, lines)
    rows = []
    for where, line in _data(path, lines, start):
        values, _, label = line.rpartition(",")
        rows.append((where, [_without_padding(text) for text in values.strip("'\"").split("\\n")], label))
    return Parsed(*_series_and_labels(path, rows), False)


def read_tsv(path: Path) -> Parsed:
    """Read one .tsv or .txt file of the UCR archive; raises DataError as `read_ts`."""
    rows = []
    for where, line in _data(path, _lines(path), 0):
        label, *values = re.split(r"[\t, ]+", line)
        rows.append((where, [_without_padding(",".join(values))], label))
    return Parsed(*_series_and_labels(path, rows), False)


def _lines(path: Path) -> list[str]:
    check_file(path)
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: cannot be read ({error}).") from None


def _data(path: Path, lines: list[str], start: int) -> Iterable[tuple[str, str]]:
    """The lines of data, each with where it is."""
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip() and not line.startswith(("#", "%")):
            yield f"{path}, line {number}", line.strip()


def _without_padding(values: str) -> str:
    return re.sub(r"(,\s*(\?|nan))+$", "", values, flags=re.IGNORECASE)


def _series_and_labels(
    path: Path, rows: Iterable[tuple[str, list[str], str]], classes: Set[str] = frozenset()
) -> tuple[list[Array], list[str]]:
    """The series and labels of lines, each with where it is and its variables as text."""
    series: list[Array] = []
    labels: list[str] = []
    for where, variables, text in rows:
        item, label = _series(where, variables), text.strip()
        if series and item.shape[1] != series[0].shape[1]:
            raise DataError(
                f"{where}: expected {series[0].shape[1]} variables, as in the first series; got {item.shape[1]}."
            )
        if classes and label not in classes:
            raise DataError(f"{where}: the class {label!r} is not in the header's list ({', '.join(sorted(classes))}).")
        series.append(item)
        labels.append(label)
    if not series:
        raise DataError(f"{path}: it has no series; the set is empty.")
    return series, labels


def _header(path: Path, lines: list[str]) -> tuple[dict[str, list[str]], int]:
    """The header's entries by name in lower case, and where the data begin."""
    header: dict[str, list[str]] = {}
    for i, line in enumerate(lines):
        if line.startswith("@"):
            name, *values = line[1:].split() or [""]
            if name.lower() == "data":
                return header, i + 1
            header[name.lower()] = values or ["false"]
    raise DataError(f"{path}: no line @data; expected a header.")


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
