"""The columns of a table as tokens: numbers standardised, categories numbered, by what the training rows held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, IntArray

__all__ = ["ColumnEncoder", "column_std", "is_missing"]


@dataclass(frozen=True)
class ColumnEncoder:
    """What is known of a table's columns: where numbers lie, and which categories there are.

    Attributes
    ----------
    names : tuple of str
        Of the columns of numbers, then of those of categories.
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
        """Learn the columns from the training rows.

        Parameters
        ----------
        numbers : array_like of shape (B, J)
        categories : sequence of array_like of shape (B,)
            Any values that can be told apart and sorted as text.
        names : sequence of str, optional
            Of all columns; ``number 0`` and so on by default.

        Raises
        ------
        ShapeError
            If the numbers are no table, or there is another number of categories than of rows, or of names than of
            columns.
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
        headwise.errors.DataError: colour: 'green' was in no training row; known are 'blue', 'red'. Train on rows that
        hold it, or join rare categories into one before training.
        """
        table = _table(numbers, categories)
        count = table.shape[1]
        default = [f"number {j}" for j in range(count)] + [f"category {j}" for j in range(len(categories))]
        called = tuple(names) or tuple(default)
        if not default:
            raise DataError("table: expected at least one column; got none.")
        if len(called) != len(default):
            raise ShapeError(f"names: expected {len(default)}, one a column; got {len(called)}.")
        if not len(table):
            raise DataError("table: expected at least one row to learn from; got an empty table.")
        _finite(table, called)
        levels = tuple(
            tuple(sorted(set(_values(column, name)), key=str))
            for column, name in zip(categories, called[count:], strict=True)
        )
        return cls(called, tuple(table.mean(axis=0).tolist()), tuple(column_std(table).tolist()), levels)

    def transform(self, numbers: npt.ArrayLike, categories: Sequence[npt.ArrayLike] = ()) -> tuple[Array, IntArray]:
        """Standardised numbers (B, J) in float32, and the places (B, K) of the categories in their lists.

        Raises
        ------
        ShapeError
            If there are other columns than there were, or as many categories as rows are not there.
        DataError
            If a value is missing, or a category was in no training row.
        """
        table = _table(numbers, categories)
        expected = len(self.mean), len(self.categories)
        if (table.shape[1], len(categories)) != expected:
            raise ShapeError(
                f"table: expected {expected[0]} columns of numbers and {expected[1]} of categories, as in training; "
                f"got {table.shape[1]} and {len(categories)}."
            )
        _finite(table, self.names)
        standard = (table - np.array(self.mean)) / np.array(self.std)
        codes = np.empty((len(table), expected[1]), np.int64)
        for k, (column, levels) in enumerate(zip(categories, self.categories, strict=True)):
            codes[:, k] = _places(_values(column, self.names[expected[0] + k]), levels, self.names[expected[0] + k])
        return standard.astype(np.float32), codes


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


def _table(numbers: npt.ArrayLike, categories: Sequence[npt.ArrayLike]) -> Array:
    """(B, J): the numbers, beside as many categories in each column of those; nothing at all is no columns."""
    try:
        table: Array = np.asarray(numbers, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"numbers: expected a table of numbers, (B, J); {error}.") from None
    lengths = [len(np.asarray(column, dtype=object)) for column in categories]
    if table.shape == (0,):
        table = np.empty((lengths[0] if lengths else 0, 0))
    if table.ndim != 2:
        raise ShapeError(f"numbers: expected (B, J), a row an item; got {table.shape}.")
    for k, length in enumerate(lengths):
        if length != len(table):
            raise ShapeError(f"categories {k}: expected {len(table)}, one a row of the numbers; got {length}.")
    return table


def _finite(table: Array, names: Sequence[str]) -> None:
    bad = ~np.isfinite(table)
    if bad.any():
        j = int(np.flatnonzero(bad.any(axis=0))[0])
        raise DataError(
            f"{names[j]}: {int(bad[:, j].sum())} of {len(table)} numbers are missing or infinite. Fill them in before, "
            "for example with scikit-learn's SimpleImputer in a pipeline, or leave these rows out."
        )


def _values(column: npt.ArrayLike, name: str) -> list[Any]:
    found: list[Any] = np.asarray(column, dtype=object).tolist()
    missing = sum(map(is_missing, found))
    if missing:
        raise DataError(
            f"{name}: {missing} of {len(found)} categories are missing. Give them a name of their own, such as "
            "'unknown', or leave these rows out."
        )
    return found


def _places(values: Sequence[Any], levels: Sequence[Any], name: str) -> list[int]:
    place = {level: i for i, level in enumerate(levels)}
    for value in values:
        if value not in place:
            known = ", ".join(map(repr, levels[:8])) + (" …" if len(levels) > 8 else "")
            raise DataError(
                f"{name}: {value!r} was in no training row; known are {known}. Train on rows that hold it, or join "
                "rare categories into one before training."
            )
    return [place[value] for value in values]
