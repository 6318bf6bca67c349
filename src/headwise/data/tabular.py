"""Bundled tables: three of scikit-learn, and the passengers of the Titanic."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import MissingExtraError
from headwise.validation import check_choice


@dataclass(frozen=True)
class TableData:
    """A table with a target column.

    Attributes
    ----------
    name : str
    X : ndarray of shape (B, columns)
        Of type object, if some columns are categorical.
    column_names : tuple of str
    categorical : tuple of int
        Indices of the categorical columns.
    y : ndarray of shape (B,)
        Labels, or numbers to predict.
    is_classification : bool
    """

    name: str
    X: npt.NDArray[Any]
    column_names: tuple[str, ...]
    categorical: tuple[int, ...]
    y: npt.NDArray[Any]
    is_classification: bool


def load_table(name: str) -> TableData:
    """Load one of `TABLES` by name.

    Raises
    ------
    DataError
        If there is no such table.
    MissingExtraError
        If scikit-learn is not installed.

    Examples
    --------
    >>> titanic = load_table("titanic")
    >>> titanic.X.shape, [titanic.column_names[j] for j in titanic.categorical]
    ((1043, 7), ['class', 'sex', 'port'])
    >>> titanic.X[0].tolist(), titanic.y[0]
    (['1', 'female', 'S', 29.0, 0.0, 0.0, 211.3375], np.str_('survived'))
    """
    check_choice("table", name, TABLES)
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
    """442 patients, nine measurements and their sex: progression of the disease after a year."""
    from sklearn.datasets import load_diabetes

    data = _bundled("diabetes", load_diabetes(scaled=False), classes=False)
    X, sex = data.X.astype(object), data.column_names.index("sex")
    X[:, sex] = [f"sex {value:.0f}" for value in data.X[:, sex]]
    return TableData(data.name, X, data.column_names, (sex,), data.y, False)


@cache
def _titanic() -> TableData:
    """1,043 passengers whose age, fare and port are known: who survived.

    Source: F. E. Harrell and T. Cason, data set ``titanic3`` of Vanderbilt University; OpenML lists its licence
    as public (id 40945). The file in the package has the columns used here.
    """
    text = (files("headwise.data") / "titanic.csv").read_text(encoding="utf-8")
    passengers = list(csv.DictReader(text.splitlines()))
    categories, numbers = ("pclass", "sex", "embarked"), ("age", "sibsp", "parch", "fare")
    X = np.array([[*(p[c] for c in categories), *(float(p[n]) for n in numbers)] for p in passengers], dtype=object)
    y = np.array(["survived" if p["survived"] == "1" else "died" for p in passengers])
    names = ("class", "sex", "port", "age", "siblings and spouse", "parents and children", "fare")
    return TableData("titanic", X, names, (0, 1, 2), y, True)


def _bundled(name: str, bunch: Any, *, classes: bool) -> TableData:
    targets = bunch.target_names[bunch.target] if classes else bunch.target.astype(np.float64)
    return TableData(name, bunch.data, tuple(map(str, bunch.feature_names)), (), targets, classes)


TABLES: dict[str, Callable[[], TableData]] = {
    "breast-cancer": _breast_cancer,
    "wine": _wine,
    "titanic": _titanic,
    "diabetes": _diabetes,
}
