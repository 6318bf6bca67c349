"""Columns of a table: which are categorical, and which cannot be used or look like a mistake."""

from __future__ import annotations

import datetime
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError
from headwise.tokenizers.tabular import is_missing
from headwise.validation import check_unique, is_number

_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
_FEWEST_ROWS = 20  # with fewer, distinct values are no sign of an identifier
_MOST_CODES = 20  # whole numbers that may stand for categories; more are quantities
_NUMERAL = re.compile(r"[-+−]?\s*[$€£]?\s*(\d[\d\s.,'’]*|[.,]\d+)(e[-+]?\d+)?\s*[%€$£]?", re.I)
_FRACTION = re.compile(r"[.,]\d|\de", re.I)
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE_TEXT = re.compile(
    r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3(\d{2}|\d{4})"
    rf"|{_MONTH}\s\d{{1,2}},?\s\d{{4}}|\d{{1,2}}[-\s]{_MONTH}[-\s]\d{{4}})([T\s].*)?",
    re.IGNORECASE,
)


def category_columns(categories: str | Sequence[int | str], X: Any) -> tuple[int, ...]:
    """Indices of the categorical columns.

    Columns are given by name, index or mask; with "auto" they are the columns of a data frame that are neither numbers
    nor boolean, and none of an array. In a data frame a number is a name if any column has a number for a name,
    otherwise an index.

    Raises DataError if one is not a column of X, or is repeated, or a mask has another length; with "auto", if a column
    holds dates.
    """
    columns = list(X.columns) if hasattr(X, "columns") else []
    if isinstance(categories, str):
        if categories != "auto":
            raise DataError(f'categories: expected "auto", or a list of columns; got {categories!r}.')
        return tuple(j for j, dtype in enumerate(X.dtypes) if not _is_numeric(dtype)) if columns else ()
    if not isinstance(categories, Iterable):
        raise DataError(f'categories: expected "auto", or a list of columns; got {categories!r}.')
    count = len(columns) if columns else np.shape(X)[1]
    categories = _unmasked(list(categories), count)
    numbered = any(isinstance(name, (int, np.integer)) for name in columns)
    indices = []
    for column in categories:
        index = columns.index(column) if column in columns else None if numbered else column
        if not isinstance(index, (int, np.integer)) or not 0 <= index < count:
            raise DataError(f"categories: {column!r} is not a column of X, which has {columns or count}.")
        indices.append(int(index))
    check_unique(categories=indices)
    return tuple(indices)


def check_container(X: Any) -> None:
    """Raise DataError for what scikit-learn cannot read, and for masked values, whose mask it would ignore."""
    dtype = getattr(X, "dtype", None)
    if (dtype is None and isinstance(X, (str, bytes, Mapping))) or getattr(dtype, "names", None):
        raise DataError(f"X: expected an array or a data frame of (items, columns); got {type(X).__name__}.")
    if hasattr(X, "collect") or type(X).__module__.startswith("pyarrow"):
        raise DataError(f"X: expected a data frame of pandas or polars; got {type(X).__name__}. Convert it to one.")
    if X is not None and not hasattr(X, "__len__") and not hasattr(X, "__array__"):
        raise DataError(f"X: expected an array, a data frame or a list of items; got {type(X).__name__}.")
    if isinstance(X, (list, tuple)) and any(isinstance(item, (set, frozenset)) for item in X):
        raise DataError("X: expected items as arrays or lists, (N, V); got sets. Pass the members of each as rows.")
    if isinstance(X, np.ma.MaskedArray) and np.any(X.mask):
        raise DataError(f"X: {np.sum(X.mask)} of {X.size} values are masked. Impute them, or leave these items out.")
    columns = list(X.columns) if hasattr(X, "columns") else None
    if columns is None:
        return
    if not columns:
        raise DataError("X: expected at least one column; got a data frame with none.")
    name, count = Counter(columns).most_common(1)[0]
    if count > 1:
        raise DataError(f"X: expected a different name for each column; {count} have the name {name!r}.")
    if len({isinstance(name, str) for name in columns}) > 1:
        raise DataError(f"X: expected names that are all text, or all something else; got {columns}.")


def check_dates(X: Any, listed: Sequence[int] = ()) -> None:
    """Raise DataError if a column holds dates, times or durations and is not listed as categorical."""
    if hasattr(X, "columns"):
        for j, (name, dtype) in enumerate(zip(X.columns, X.dtypes, strict=True)):
            values = X[name] if str(dtype) in ("object", "Object") and list(X.columns).count(name) == 1 else ()
            if j not in listed and (_is_date(dtype) or _first_is_date(values)):
                raise _date_error(name, dtype)
    elif isinstance(X, np.ndarray) and X.dtype.kind in "mM":
        raise _date_error("X", X.dtype)
    elif isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2:
        for j in range(X.shape[1]):
            if j not in listed and _first_is_date(X[:, j]):
                raise _date_error(f"column {j}", type(X[0, j]).__name__)


def check_text(X: Any) -> None:
    """Raise DataError if a column of a data frame holds numbers or dates as text or objects, such as "3,50".

    A few different whole numbers may be codes of categories, as may whatever has a categorical type.
    """
    for name, dtype in zip(X.columns, X.dtypes, strict=True) if hasattr(X, "columns") else ():
        if _is_numeric(dtype) or str(dtype).lower().startswith(("categor", "enum")):
            continue
        values = [value for value in X[name] if not is_missing(value) and not isinstance(value, (bool, np.bool_))]
        if values and all(isinstance(value, str) and _DATE_TEXT.fullmatch(value.strip()) for value in values):
            raise _date_error(name, f"as text, such as {values[0]!r}")
        numerals = [value for value in values if _is_numeral(value)]
        texts = set(map(str, numerals))
        is_quantity = len(texts) > _MOST_CODES or any(map(_FRACTION.search, texts))
        if not is_quantity or len(numerals) < len(values) / 2:
            continue
        others = next((f", and others such as {value!r}" for value in values if not _is_numeral(value)), "")
        raise DataError(
            f"{name}: expected numbers or categories; got numbers as {type(numerals[0]).__name__}, such as "
            f"{numerals[0]!r}{others}. Convert the column, with pandas.to_numeric(X[name], errors='coerce') after "
            "replacing decimal commas and signs, and impute what is missing; or list it in `categories`."
        )


def mixed_values(X: Any) -> Any:
    """A data frame of pandas whose columns all hold Python's values, so that NumPy finds one type for them."""
    is_pandas = hasattr(X, "columns") and hasattr(X, "astype")
    return X.astype(object) if is_pandas else X


def warn_identifiers(x: npt.NDArray[Any], categories: Sequence[int], names: Sequence[str]) -> None:
    """Warn about columns whose values identify a row, from which a model cannot learn anything about other rows."""
    if len(x) < _FEWEST_ROWS:
        return
    for j in range(x.shape[1]):
        values = x[:, j].tolist()
        distinct = len(set(values))
        if j in categories and distinct > len(values) / 2:
            what = f"{distinct} categories in {len(values)} rows"
        elif j not in categories and distinct == len(values) and _are_row_numbers(values):
            what = "a different number for each row, without a gap"
        else:
            continue
        warnings.warn(
            f"{names[j]}: {what}. If this column identifies the rows, leave it out: other rows have other identifiers.",
            UserWarning,
            stacklevel=2,
        )


def _are_row_numbers(values: list[Any]) -> bool:
    low, high = min(values), max(values)
    return bool(high - low == len(values) - 1) and all(float(value).is_integer() for value in values)


def _is_numeric(dtype: Any) -> bool:
    """Whether a column type of pandas or polars is numbers or boolean."""
    if hasattr(dtype, "is_numeric"):  # polars
        return bool(dtype.is_numeric()) or str(dtype) == "Boolean"
    return getattr(dtype, "kind", "O") in "iufcb"


def _is_numeral(value: Any) -> bool:
    """Whether it is a number, or text such as "1.234,50", "12 %" or "$3"."""
    return bool(_NUMERAL.fullmatch(value.strip())) if isinstance(value, str) else is_number(value)


def _is_date(dtype: Any) -> bool:
    if hasattr(dtype, "is_temporal"):  # polars
        return bool(dtype.is_temporal())
    return getattr(dtype, "kind", "O") in "mM" or str(dtype).startswith("period")


def _first_is_date(values: Iterable[Any]) -> bool:
    return isinstance(next((value for value in values if not is_missing(value)), None), _DATES)


def _date_error(name: Any, dtype: Any) -> DataError:
    return DataError(
        f"{name}: expected numbers or categories; got dates or times ({dtype}). Convert them to what matters, such as "
        "days since the first (X[name] - X[name].min()).dt.days, or the month; or list the column in `categories`."
    )


def _unmasked(categories: list[Any], count: int) -> list[Any]:
    """The indices that a mask selects; a list that is not a mask is returned as it is."""
    if not categories or not all(isinstance(column, (bool, np.bool_)) for column in categories):
        return categories
    if len(categories) != count:
        raise DataError(f"categories: expected a mask of {count} entries, one per column; got {len(categories)}.")
    return [index for index, selected in enumerate(categories) if selected]
