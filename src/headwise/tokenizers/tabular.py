"""Columns of a table as tokens: standardized numbers, and categories as integers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, IntArray


@dataclass(frozen=True)
class ColumnEncoder:
    """Encoder of numeric and categorical columns, fitted on the training rows.

    Attributes
    ----------
    names : tuple of str
        Of the numeric columns, then of the categorical ones.
    mean, std : tuple of float
        Of each numeric column; a constant column has std one.
    categories : tuple of tuple
        The sorted categories of each categorical column.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    categories: tuple[tuple[Any, ...], ...]

    @classmethod
    def fit(
        cls, numbers: npt.ArrayLike, categories: Sequence[npt.ArrayLike] = (), names: Sequence[str] = ()
    ) -> ColumnEncoder:
        """Fit on the training rows.

        Parameters
        ----------
        numbers : array_like of shape (B, J)
        categories : sequence of array_like of shape (B,)
            Any hashable values.
        names : sequence of str, optional
            Of all columns; ``number 0`` and so on by default.

        Raises
        ------
        ShapeError
            If the numbers are not a table, or the numbers of rows or of names do not match.
        DataError
            If there are no rows, no columns, or a value is missing.

        Examples
        --------
        >>> columns = ColumnEncoder.fit([[1.0], [3.0]], [["red", "blue"]], ["size", "colour"])
        >>> columns.transform([[2.0]], [["blue"]])
        (array([[0.]], dtype=float32), array([[0]]))
        >>> columns.transform([[2.0]], [["green"]])
        Traceback (most recent call last):
        ...
        headwise.errors.DataError: colour: 'green' does not occur in the training rows; known categories are 'blue',
        'red'. Train on rows that have it, or merge rare categories before training.
        """
        table = _table(numbers, categories)
        count = table.shape[1]
        default = [f"number {j}" for j in range(count)] + [f"category {j}" for j in range(len(categories))]
        column_names = tuple(names) or tuple(default)
        if not default:
            raise DataError("table: expected at least one column; got none.")
        if len(column_names) != len(default):
            raise ShapeError(f"names: expected {len(default)}, one per column; got {len(column_names)}.")
        if not len(table):
            raise DataError("table: expected at least one row; got an empty table.")
        _check_finite(table, column_names)
        levels = tuple(
            tuple(sorted(set(_values(column, name)), key=str))
            for column, name in zip(categories, column_names[count:], strict=True)
        )
        with np.errstate(over="ignore", invalid="ignore"):
            mean, std = table.mean(axis=0), column_std(table)
        if not (finite := np.isfinite(mean) & np.isfinite(std)).all():
            raise DataError(
                f"{column_names[int(finite.argmin())]}: its numbers are too large. Divide them by a constant."
            )
        return cls(column_names, tuple(mean.tolist()), tuple(std.tolist()), levels)

    def transform(self, numbers: npt.ArrayLike, categories: Sequence[npt.ArrayLike] = ()) -> tuple[Array, IntArray]:
        """Standardized numbers (B, J) in float32, and the categories as integers (B, K).

        Raises
        ------
        ShapeError
            If the numbers of columns or rows do not match.
        DataError
            If a value is missing, or a category does not occur in the training rows.
        """
        table = _table(numbers, categories)
        expected = len(self.mean), len(self.categories)
        if (table.shape[1], len(categories)) != expected:
            raise ShapeError(
                f"table: expected {expected[0]} columns of numbers and {expected[1]} of categories, as in training; "
                f"got {table.shape[1]} and {len(categories)}."
            )
        _check_finite(table, self.names)
        standardized = (table - np.array(self.mean)) / np.array(self.std)
        codes = np.empty((len(table), expected[1]), np.int64)
        for k, (column, levels) in enumerate(zip(categories, self.categories, strict=True)):
            codes[:, k] = _to_codes(_values(column, self.names[expected[0] + k]), levels, self.names[expected[0] + k])
        return standardized.astype(np.float32), codes


def column_std(rows: Array) -> Array:
    """Standard deviation of each column of (B, V), or 1 if the column is constant, so that it can be divided by.

    Constant columns are found by comparison: NumPy's standard deviation of many times 0.1 is a rounding error above 0.

    Examples
    --------
    >>> import numpy as np
    >>> column_std(np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 2.0]])).round(3)
    array([1.   , 0.816])
    """
    return np.asarray(np.where(rows.max(axis=0) > rows.min(axis=0), rows.std(axis=0), 1.0))


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN (the one value unequal to itself) or pandas's NA (which is neither equal nor unequal)."""
    try:
        return value is None or bool(value != value)
    except TypeError:
        return True
    except ValueError:  # an array, whose comparison has several results
        return False


def _table(numbers: npt.ArrayLike, categories: Sequence[npt.ArrayLike]) -> Array:
    """Check the numbers (B, J) against the lengths of the categorical columns; an empty list has no columns."""
    try:
        table: Array = np.asarray(numbers, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"numbers: expected a table of numbers, (B, J); {error}.") from None
    lengths = [len(np.asarray(column, dtype=object)) for column in categories]
    if table.shape == (0,):
        table = np.empty((lengths[0] if lengths else 0, 0))
    if table.ndim != 2:
        raise ShapeError(f"numbers: expected (B, J), one row per item; got {table.shape}.")
    for k, length in enumerate(lengths):
        if length != len(table):
            raise ShapeError(f"categories {k}: expected {len(table)}, one per row of the numbers; got {length}.")
    return table


def _check_finite(table: Array, names: Sequence[str]) -> None:
    bad = ~np.isfinite(table)
    if bad.any():
        j = int(np.flatnonzero(bad.any(axis=0))[0])
        raise DataError(
            f"{names[j]}: {int(bad[:, j].sum())} of {len(table)} numbers are missing or infinite. Impute them, for "
            "example with scikit-learn's SimpleImputer in a pipeline, or remove these rows."
        )


def _values(column: npt.ArrayLike, name: str) -> list[Any]:
    values: list[Any] = np.asarray(column, dtype=object).tolist()
    if missing := sum(map(is_missing, values)):
        raise DataError(
            f"{name}: {missing} of {len(values)} categories are missing. Use a category such as 'unknown' for them, or "
            "remove these rows."
        )
    if others := [value for value in values if not isinstance(value, Hashable)]:
        raise DataError(
            f"{name}: expected numbers or categories; got a {type(others[0]).__name__}, {shorten(str(others[0]), 40)}."
        )
    return values


def _to_codes(values: Sequence[Any], levels: Sequence[Any], name: str) -> list[int]:
    codes = {level: i for i, level in enumerate(levels)}
    for value in values:
        if value not in codes:
            names = ", ".join(map(repr, levels[:8])) + (" …" if len(levels) > 8 else "")
            raise DataError(
                f"{name}: {value!r} does not occur in the training rows; known categories are {names}. Train on rows "
                "that have it, or merge rare categories before training."
            )
    return [codes[value] for value in values]
