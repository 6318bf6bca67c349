"""Checking what an estimator is given, by scikit-learn's own validation where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array

from headwise.errors import DataError, ShapeError
from headwise.estimators.encoders import stack_sequences
from headwise.models.trainable import Inputs
from headwise.shapes import Array
from headwise.tokenizers.tabular import is_missing
from headwise.validation import check_counts, check_unique

__all__ = [
    "KINDS",
    "array_3d",
    "as_table",
    "category_columns",
    "check_answers",
    "check_float32_range",
    "check_hyperparameters",
    "infer_kind",
]

KINDS = ("auto", "table", "series", "sets", "images")


def check_hyperparameters(params: dict[str, Any]) -> None:
    """Check the types of the training settings; `ModelSize` checks the sizes."""
    check_counts(**{name: params[name] for name in ("max_iter", "batch_size", "n_iter_no_change")})
    for name in ("learning_rate", "weight_decay"):
        if not isinstance(params[name], Real) or not 0 <= float(params[name]) < float("inf"):
            raise DataError(f"{name}: expected a number from 0; got {params[name]!r}.")
    fraction = params["validation_fraction"]
    if not isinstance(fraction, Real) or not 0 <= float(fraction) < 1:
        raise DataError(f"validation_fraction: expected a number from 0 to less than 1; got {fraction!r}.")
    if not isinstance(params["tokenizer"], str):
        raise DataError(f'tokenizer: expected a name such as "rows" or "4x4"; got {params["tokenizer"]!r}.')


def infer_kind(kind: str, X: npt.ArrayLike) -> str:
    """The kind of data: as it was named, or by its axes, two for a table and three for series.

    Raises
    ------
    DataError
        If there is no such kind.
    """
    if kind not in KINDS:
        raise DataError(f"kind: expected one of {', '.join(KINDS)}; got {kind!r}.")
    if len({len(row) for row in X if _depth(row) == 1} if isinstance(X, (list, tuple)) else ()) > 1:
        raise ShapeError(
            "X: its items have one axis each, and unequal lengths: neither the rows of a table nor series. Series are "
            "a list of (N, V) arrays; of one variable, (N, 1)."
        )
    if kind != "auto":
        return kind
    return "series" if _items(X) is not None or getattr(X, "ndim", None) == 3 else "table"


def array_3d(X: npt.ArrayLike, kind: str) -> Array:
    """Items (B, N, V) of finite numbers, or NaN; a list of items of unequal length is filled up with NaN.

    Raises
    ------
    ShapeError
        If there are not three axes, the items have another number of variables each, or images are of unequal sizes.
    DataError
        If there are no items, nothing is in them, or they are no numbers.
    ValueError
        By scikit-learn, if they are no numbers.
    """
    if (items := _items(X)) is not None:
        X = stack_sequences(items, unequal=kind != "images")
    array: Array = check_array(X, dtype=np.float64, allow_nd=True, ensure_2d=False, ensure_all_finite=False)
    if array.ndim != 3:
        what = {"series": "(items, steps, variables)", "sets": "(items, members, variables)"}
        raise ShapeError(f"X: expected {what.get(kind, '(items, height, width)')} for {kind}; got {array.shape}.")
    if 0 in array.shape:
        raise DataError(f"X: expected something in every item; got shape {array.shape}.")
    return array


def as_table(mixed: bool) -> dict[str, Any]:
    """How scikit-learn is to validate a table; what is missing is told by the column, afterwards."""
    return {"dtype": None if mixed else np.float64, "ensure_all_finite": False}


def category_columns(categories: str | Sequence[int | str], X: Any) -> tuple[int, ...]:
    """The places of the columns that hold categories.

    Those that are named, or marked by a mask; by "auto" the columns of a data frame that hold no numbers, and none of
    an array. A data frame's columns are known by their names: numbers are places only where no name is a number.

    Raises
    ------
    DataError
        If one is no column of X, or named twice, or a mask has another length.
    """
    columns = list(X.columns) if hasattr(X, "columns") else []
    if isinstance(categories, str):
        if categories != "auto":
            raise DataError(f'categories: expected "auto", or a list of columns; got {categories!r}.')
        kinds = [getattr(dtype, "kind", "O") for dtype in X.dtypes] if columns else []
        return tuple(j for j, kind in enumerate(kinds) if kind not in "iufb")
    if not isinstance(categories, Iterable):
        raise DataError(f'categories: expected "auto", or a list of columns; got {categories!r}.')
    count = len(columns) if columns else np.shape(X)[1]
    categories = _unmasked(list(categories), count)
    numbered = any(isinstance(name, (int, np.integer)) for name in columns)
    found = []
    for column in categories:
        place = columns.index(column) if column in columns else None if numbered else column
        if not isinstance(place, (int, np.integer)) or not 0 <= place < count:
            raise DataError(f"categories: {column!r} is no column of X, which has {columns or count}.")
        found.append(int(place))
    check_unique(categories=found)
    return tuple(found)


def check_answers(y: Any) -> None:
    """Refuse missing values of a kind that scikit-learn does not see: None, and pandas's NA."""
    values = np.asarray(y).ravel()
    missing = sum(map(is_missing, values.tolist())) if values.dtype == object and y is not None else 0
    if missing:
        raise DataError(f"y: {missing} of {len(values)} values are missing (None or NaN). Leave these items out.")


def check_float32_range(inputs: Inputs) -> Inputs:
    """What a reader made of the items, if it is all within float32."""
    for array in inputs:
        if not (there := np.isfinite(array).reshape(len(array), -1).all(axis=1)).all():
            raise DataError(
                f"X: item {int(there.argmin())} holds a number too large to compute with. Is its unit that of the "
                "others?"
            )
    return inputs


def _unmasked(categories: list[Any], count: int) -> list[Any]:
    """The places that a mask marks; a list that is no mask, as it is."""
    if not categories or not all(isinstance(each, (bool, np.bool_)) for each in categories):
        return categories
    if len(categories) != count:
        raise DataError(f"categories: expected a mask of {count} entries, one a column; got {len(categories)}.")
    return [place for place, marked in enumerate(categories) if marked]


def _items(X: Any) -> list[Any] | None:
    """The items, if X is a list of them (or an array of objects), each with two axes."""
    listed = isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)
    items = list(X) if listed else []
    return items if items and all(_depth(item) == 2 for item in items) else None


def _depth(X: Any) -> int:
    """Axes of an array, or of a nested list, by its first entries."""
    depth = 0
    while isinstance(X, (list, tuple)) and X:
        depth, X = depth + 1, X[0]
    return depth + int(getattr(X, "ndim", 0))
