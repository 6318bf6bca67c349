"""Validation of the arguments and data of an estimator, on top of scikit-learn's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array

from headwise.errors import DataError, ShapeError
from headwise.estimators.encoders import stack_sequences
from headwise.models.trainable import Inputs
from headwise.shapes import Array
from headwise.tokenizers.tabular import is_missing
from headwise.validation import check_choice, check_counts

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
    """The kind of data: as named, or inferred from the axes: two for a table, three for series."""
    check_choice("kind", kind, KINDS)
    if len({len(row) for row in X if _depth(row) == 1} if isinstance(X, (list, tuple)) else ()) > 1:
        raise ShapeError(
            "X: expected the rows of a table or series; got items with one axis and unequal lengths. Series are "
            "a list of (N, V) arrays; with one variable, (N, 1)."
        )
    if kind != "auto":
        return kind
    return "series" if _items(X) is not None or getattr(X, "ndim", None) == 3 else "table"


def array_3d(X: npt.ArrayLike, kind: str) -> Array:
    """Items (B, N, V) as float64; lists of items of unequal length are padded with NaN."""
    if (items := _items(X)) is not None:
        X = stack_sequences(items, unequal=kind != "images")
    array: Array = check_array(X, dtype=np.float64, allow_nd=True, ensure_2d=False, ensure_all_finite=False)
    if array.ndim != 3:
        hint = " Average the colours, X.mean(axis=3)." if kind == "images" and array.ndim == 4 else ""
        what = {"series": "(items, steps, variables)", "sets": "(items, members, variables)"}
        raise ShapeError(f"X: expected {what.get(kind, '(items, height, width)')} for {kind}; got {array.shape}.{hint}")
    if 0 in array.shape:
        raise DataError(f"X: expected items that are not empty; got shape {array.shape}.")
    return array


def table_validation(has_categories: bool) -> dict[str, Any]:
    """Arguments of scikit-learn's validation of a table; missing values are reported later, by column."""
    return {"dtype": None if has_categories else np.float64, "ensure_all_finite": False}


@contextmanager
def readable_numbers() -> Iterator[None]:
    """Raise DataError in place of NumPy's error on text in an array of numbers."""
    try:
        yield
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise DataError(f"X: expected numbers; {error}. List categorical columns in `categories`.") from None


def target_array(y: Any, numeric: bool) -> Any:
    """Targets as an array of booleans, numbers or text: nullable columns and objects get the type of their values.

    Raises DataError if a value is missing, which scikit-learn does not detect in an array of objects, or is none of
    these.
    """
    if y is None:
        return y  # scikit-learn's error names the estimator
    if isinstance(y, np.ma.MaskedArray) and np.any(y.mask):
        raise DataError(f"y: {np.sum(y.mask)} of {y.size} values are masked. Remove these items.")
    try:
        array = np.asarray(y)
    except ValueError:
        raise DataError("y: expected one value per item; got sequences of unequal lengths.") from None
    if array.dtype == object:
        values = array.ravel().tolist()
        if missing := sum(map(is_missing, values)):
            raise DataError(f"y: {missing} of {len(values)} values are missing (None or NaN). Remove these items.")
        array = _typed(array, values)
    first = repr(array.ravel()[:1].tolist())[1:-1]
    if numeric and array.dtype.kind in "OUSmM" and not _are_numerals(array):
        raise DataError(f"y: expected numbers; got {first}. To predict labels use TransformerClassifier.")
    if array.dtype.kind == "S":
        raise DataError(f"y: expected text, numbers or booleans; got bytes such as {first}. Decode them.")
    return array


def _typed(array: npt.NDArray[Any], values: list[Any]) -> npt.NDArray[Any]:
    """An array of objects as one of booleans, whole numbers, numbers or text."""
    for dtype, *classes in ((bool, bool, np.bool_), (np.int64, Integral), (np.float64, Real, Decimal), (object, str)):
        if all(isinstance(value, tuple(classes)) for value in values):
            try:
                return array.astype(dtype)
            except OverflowError:  # larger than 64 bits
                continue
    type_names = ", ".join(sorted({type(value).__name__ for value in values})[:5])
    raise DataError(f"y: expected numbers, booleans or text, values of one kind; got {type_names}.")


def check_float32_range(inputs: Inputs) -> Inputs:
    """Raise DataError if an encoded item does not fit into float32; return the inputs."""
    for array in inputs:
        if not (finite := np.isfinite(array).reshape(len(array), -1).all(axis=1)).all():
            raise DataError(
                f"X: item {int(finite.argmin())} contains a number too large for float32. Is its unit that of the "
                "others?"
            )
    return inputs


def _items(X: Any) -> list[Any] | None:
    """The items, if X is a list or an object array, and one of them has two axes; otherwise None."""
    is_list = isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1)
    items = list(X) if is_list else []
    return items if any(_depth(item) == 2 for item in items) else None


def _depth(X: Any) -> int:
    """Number of axes of an array, or of a nested list by its first entries."""
    depth = 0
    while isinstance(X, (list, tuple)) and X:
        depth, X = depth + 1, X[0]
    return depth + int(getattr(X, "ndim", 0))


def _are_numerals(array: npt.NDArray[Any]) -> bool:
    """Whether texts can be converted to numbers, as scikit-learn does."""
    try:
        array.astype(np.float64)
    except ValueError:
        return False
    return array.dtype.kind in "OU"
