"""Tables that come with scikit-learn: three of its own, and the Titanic's passengers from the files of its tests."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, MissingExtraError

__all__ = ["TABLES", "TableData", "load_table"]


@dataclass(frozen=True)
class TableData:
    """A table with what is to be predicted.

    Attributes
    ----------
    name : str
    rows : ndarray of shape (B, columns)
        Of object type, where some columns hold categories.
    names : tuple of str
        Of the columns.
    categories : tuple of int
        The columns that hold categories.
    answers : ndarray of shape (B,)
        Labels, or numbers to predict.
    classes : bool
        Whether they are labels.
    """

    name: str
    X: npt.NDArray[Any]
    column_names: tuple[str, ...]
    categorical: tuple[int, ...]
    y: npt.NDArray[Any]
    is_classification: bool


def load_table(name: str) -> TableData:
    """One of `TABLES`, by its name.

    Raises
    ------
    DataError
        If there is no such table.
    MissingExtraError
        If scikit-learn is not installed.

    Examples
    --------
    >>> titanic = load_table("titanic")
    >>> titanic.rows.shape, [titanic.names[j] for j in titanic.categories]
    ((1043, 7), ['class', 'sex', 'port'])
    >>> titanic.rows[0].tolist(), titanic.answers[0]
    (['1', 'female', 'S', 29.0, 0.0, 0.0, 211.3375], np.str_('survived'))
    """
    if name not in TABLES:
        raise DataError(f"table: expected one of {', '.join(TABLES)}; got {name!r}.")
    if find_spec("sklearn") is None:
        raise MissingExtraError("the bundled tables", "scikit-learn", "lab")
    return TABLES[name]()


@cache
def _breast_cancer() -> TableData:
    """569 tumours, 30 measurements of cell nuclei: malignant or benign."""
    from sklearn.datasets import load_breast_cancer

    return _bundled("breast cancer", load_breast_cancer(), classes=True)


@cache
def _wine() -> TableData:
    """178 wines, 13 chemical measurements: which of three cultivars."""
    from sklearn.datasets import load_wine

    return _bundled("wine", load_wine(), classes=True)


@cache
def _diabetes() -> TableData:
    """442 patients, nine measurements and their sex: how far the disease is after a year."""
    from sklearn.datasets import load_diabetes

    found = _bundled("diabetes", load_diabetes(scaled=False), classes=False)
    rows, sex = found.X.astype(object), found.column_names.index("sex")
    rows[:, sex] = [f"sex {value:.0f}" for value in found.X[:, sex]]
    return TableData(found.name, rows, found.column_names, (sex,), found.y, False)


@cache
def _titanic() -> TableData:
    """1,043 passengers whose age, fare and port are known: who survived."""
    path = files("sklearn.datasets") / "tests/data/openml/id_40945/data-v1-dl-16826755.arff.gz"
    try:
        text = gzip.decompress(path.read_bytes()).decode()
    except OSError:
        raise DataError(
            "titanic: this scikit-learn comes without the files of its tests, of which the passengers are one. The "
            "wheel of PyPI has them."
        ) from None
    head, _, body = text.partition("@data")
    fields = [line.split()[1].strip("'") for line in head.splitlines() if line.startswith("@attribute")]
    passengers = [
        dict(zip(fields, row, strict=True)) for row in csv.reader(body.split("\n")) if len(row) == len(fields)
    ]
    known = [p for p in passengers if "?" not in (p["age"], p["fare"], p["embarked"])]
    categories, numbers = ("pclass", "sex", "embarked"), ("age", "sibsp", "parch", "fare")
    rows = np.array([[*(p[c] for c in categories), *(float(p[n]) for n in numbers)] for p in known], dtype=object)
    answers = np.array(["survived" if p["survived"] == "1" else "died" for p in known])
    names = ("class", "sex", "port", "age", "siblings and spouse", "parents and children", "fare")
    return TableData("titanic", rows, names, (0, 1, 2), answers, True)


def _bundled(name: str, bunch: Any, *, classes: bool) -> TableData:
    answers = bunch.target_names[bunch.target] if classes else bunch.target.astype(np.float64)
    return TableData(name, bunch.data, tuple(map(str, bunch.feature_names)), (), answers, classes)


TABLES: dict[str, Callable[[], TableData]] = {
    "breast-cancer": _breast_cancer,
    "wine": _wine,
    "titanic": _titanic,
    "diabetes": _diabetes,
}
