"""Columns of data frames: every type that pandas has, dates, identifiers, and pipelines that pass data frames on."""

import datetime
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headwise.errors import DataError
from headwise.estimators import TransformerClassifier, TransformerRegressor

ROWS = 40


def classifier(**changed):
    settings = {"d_model": 8, "n_layers": 1, "n_heads": 2, "max_iter": 2, "random_state": 0}
    return TransformerClassifier(**settings | changed)


@pytest.fixture
def y():
    return np.arange(ROWS) % 2


@pytest.fixture
def X():
    return pd.DataFrame({"a": np.linspace(-1, 1.2, ROWS), "b": np.arange(ROWS) % 7 / 7})


COLUMNS = {
    "category": pd.Series(["a", "b", "c", "a"] * 10, dtype="category"),
    "ordered": pd.Series(pd.Categorical([1, 2, 3, 1] * 10, ordered=True)),
    "string": pd.Series(["x", "y"] * 20, dtype="string"),
    "object": pd.Series(["x", "y"] * 20, dtype=object),
    "bool": pd.Series([True, False] * 20),
    "boolean": pd.Series([True, False] * 20, dtype="boolean"),
    "Int64": pd.Series(range(ROWS), dtype="Int64") ** 2,
    "Float32": pd.Series(range(ROWS), dtype="Float32") / 7,
    "int8": pd.Series([3, 1, 4, 1] * 10, dtype="int8"),
    "float": pd.Series(np.linspace(0, 1, ROWS)),
}


@pytest.mark.sampled
@pytest.mark.parametrize("one", COLUMNS)
@pytest.mark.parametrize("other", ["category", "boolean", "Int64", "float"])
def test_any_two_types_of_columns(one, other, y):
    X = pd.DataFrame({"one": COLUMNS[one], "other": COLUMNS[other]})
    model = classifier(max_iter=1).fit(X, y)
    assert model.tokens_ == ("class", "one", "other")
    plain = pd.DataFrame({name: X[name].astype(object) for name in X})  # the same values without the types
    listed = [name for name in X if isinstance(plain[name][0], str) or X[name].dtype == "category"]
    same = classifier(max_iter=1, categories=listed).fit(plain, y)
    np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(plain))


@pytest.mark.parametrize(
    "dates",
    [
        pd.Series(pd.date_range("2024-01-01", periods=ROWS)),
        pd.Series(pd.date_range("2024-01-01", periods=ROWS, tz="UTC")),
        pd.Series(pd.timedelta_range("1 day", periods=ROWS)),
        pd.Series(pd.period_range("2024-01", periods=ROWS, freq="M")),
        pd.Series([None] + [datetime.date(2024, 1, 1)] * (ROWS - 1), dtype=object),
    ],
    ids=lambda dates: str(dates.dtype),
)
def test_dates_are_not_categories(dates, y):
    X = pd.DataFrame({"age": np.arange(ROWS) % 7, "when": dates})
    with pytest.raises(DataError, match="when: expected numbers or categories; got dates or times"):
        classifier().fit(X, y)
    model = classifier().fit(X[["age"]].assign(when=1.0 + np.arange(ROWS) % 3), y)
    with pytest.raises(DataError, match="when: expected numbers or categories; got dates or times"):
        model.predict(X)


def test_dates_in_arrays(y):
    days = np.arange(ROWS).astype("datetime64[D]")[:, None]
    with pytest.raises(DataError, match="X: expected numbers or categories; got dates"):
        classifier().fit(days, y)
    objects = np.column_stack([np.arange(ROWS) % 7, days.astype(object)[:, 0]])
    with pytest.raises(DataError, match="column 1: expected numbers or categories; got dates"):
        classifier().fit(objects, y)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["3,50", "12,5", "1.234,00", "7,0"], "got numbers as str, such as '3,50'. Convert"),
        (["12 %", "3.5 %", "1e3", "-2"], "got numbers as str, such as '12 %'. Convert"),
        (["1", "n/a", *map(str, range(3, 41))], "got numbers as str, such as '1', and others such as 'n/a'. Convert"),
        ([Decimal("1.5"), Decimal("2.5")], "got numbers as Decimal"),
        ([1.5, "unknown", 2.5, 3.25], "got numbers as float, such as 1.5, and others such as 'unknown'"),
        (["2024-01-31", "2024-02-01 10:00"], "got dates or times (as text, such as '2024-01-31')"),
        (["31.01.2024", "1.2.2024"], "got dates or times (as text, such as '31.01.2024')"),
        (["Jan 31, 2024", "1 February 2024", "05-Mar-2024"], "got dates or times (as text, such as 'Jan 31, 2024')"),
    ],
)
def test_text_that_is_numbers_or_dates_is_not_categories(values, message, y):
    column = pd.Series((values * ROWS)[:ROWS], dtype=object)
    X = pd.DataFrame({"age": np.arange(ROWS) % 7, "price": column})
    with pytest.raises(DataError, match=re.escape(f"price: expected numbers or categories; {message}")):
        classifier().fit(X, y)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["1", "2"] * 20),
        pd.Series(["v1.5", "v2.5", "3.5"] * 14)[:ROWS],
        pd.Series(["3,50", "4,50"] * 20, dtype="category"),
        pd.Series([True, "unknown"] * 20),
        pd.Series([2, "unknown"] * 20),
    ],
)
def test_text_that_may_be_codes_is_categories(column, y):
    X = pd.DataFrame({"age": np.arange(ROWS) % 7, "code": column})
    assert classifier(max_iter=1).fit(X, y).tokens_ == ("class", "age", "code")


def test_numbers_as_text_that_are_listed_are_categories(y):
    X = pd.DataFrame({"age": np.arange(ROWS) % 7, "price": ["3,50", "4,50"] * 20})
    assert classifier(max_iter=1, categories=["price"]).fit(X, y).tokens_ == ("class", "age", "price")


def test_dates_that_are_listed_are_categories(y):
    X = pd.DataFrame({"age": np.arange(ROWS) % 7, "day": pd.to_datetime(["2024-01-01", "2024-01-02"] * 20)})
    texts = X.assign(day=X["day"].astype(str))
    dates, strings = (classifier(categories=["day"]).fit(table, y).predict_proba(table) for table in (X, texts))
    np.testing.assert_array_equal(dates, strings)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Series([f"name {i}" for i in range(ROWS)]), "name: 40 categories in 40 rows"),
        (pd.Series(range(100, 100 + ROWS)).sample(frac=1, random_state=0, ignore_index=True), "name: a different"),
    ],
)
def test_columns_that_identify_rows_are_mentioned(column, message, y):
    with pytest.warns(UserWarning, match=f"{message}.*leave it out"):
        classifier(max_iter=1).fit(pd.DataFrame({"age": np.arange(ROWS) % 7, "name": column}), y)


def test_a_pipeline_that_passes_data_frames(y):
    X = pd.DataFrame({"size": np.linspace(0, 1, ROWS), "age": np.arange(ROWS) % 7})
    pipeline = make_pipeline(StandardScaler(), classifier()).set_output(transform="pandas").fit(X, y)
    assert pipeline[-1].tokens_ == ("class", "size", "age")
    assert list(pipeline[-1].feature_names_in_) == ["size", "age"]
    assert pipeline.predict(X).shape == (ROWS,)


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (pd.Series([3, 5] * 20, dtype="Int64"), np.array([3, 5])),
        (pd.Series([True, False] * 20, dtype="boolean"), np.array([False, True])),
        (pd.Series([3, 5] * 20).astype("category"), np.array([3, 5])),
        (np.array([3, 5] * 20, dtype=object), np.array([3, 5])),
        ([Decimal(3), Decimal(5)] * 20, np.array([3.0, 5.0])),
        (pd.Series(["a", "b"] * 20, dtype="string"), np.array(["a", "b"], dtype=object)),
    ],
)
def test_labels_have_the_type_of_their_values(targets, classes, X):
    model = classifier().fit(X, targets)
    assert (model.classes_.dtype, model.predict(X).dtype) == (classes.dtype, classes.dtype)
    assert model.classes_.tolist() == classes.tolist()
    assert model.score(X, targets) == np.mean(model.predict(X) == np.asarray(targets, dtype=object))


def test_numbers_of_any_type_are_targets(X):
    values = np.arange(ROWS) / 4
    expected = TransformerRegressor(max_iter=1, random_state=0).fit(X, values).predict(X)
    decimals = [Decimal(value) for value in values.tolist()]
    for same in (pd.Series(values, dtype="Float64"), decimals, values.astype(object)):
        predicted = TransformerRegressor(max_iter=1, random_state=0).fit(X, same).predict(X)
        np.testing.assert_array_equal(predicted, expected)


@pytest.mark.parametrize(
    ("estimator", "targets", "message"),
    [
        (TransformerClassifier, np.ma.masked_equal(np.arange(ROWS) % 2, 1), "y: 20 of 40 values are masked"),
        (TransformerClassifier, [b"a", b"b"] * 20, "y: expected text, numbers or booleans; got bytes"),
        (TransformerClassifier, pd.Series([1, "a"] * 20, dtype=object), "y: .* values of one kind; got int, str"),
        (TransformerClassifier, [[1], [2, 3]] * 20, "y: expected one value per item"),
        (TransformerRegressor, ["a", "b"] * 20, "y: expected numbers; got .*'a'.* use TransformerClassifier"),
        (TransformerRegressor, pd.Series(["a", "b"] * 20), "y: expected numbers; got 'a'"),
        (TransformerRegressor, pd.Series(pd.date_range("2024-01-01", periods=ROWS)), "y: expected numbers; got .*2024"),
        (TransformerRegressor, [pd.Interval(0, 1)] * ROWS, "y: .* values of one kind; got Interval"),
    ],
)
def test_targets_that_cannot_be_used(estimator, targets, message, X):
    with pytest.raises(DataError, match=message):
        estimator(max_iter=1).fit(X, targets)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.set_axis(["a", "a"], axis=1), "X: expected a different name for each column; 2 have the name 'a'"),
        (lambda X: X.set_axis(["a", 1], axis=1), "X: expected names that are all text"),
        (lambda X: X[[]], "X: expected at least one column"),
        (lambda X: X.assign(a=[{}] * ROWS), "a: expected numbers or categories; got a dict"),
        (lambda X: X.to_dict("list"), "X: expected an array or a data frame .*; got dict"),
        (lambda X: np.ma.masked_greater(X.to_numpy(), 1), "X: 4 of 80 values are masked"),
        (lambda X: X.to_records(index=False), "X: expected an array or a data frame .*; got recarray"),
    ],
)
def test_tables_that_cannot_be_used(change, message, X, y):
    with pytest.raises(DataError, match=message):
        classifier().fit(change(X), y)


def test_frames_that_are_not_in_memory_or_of_arrow_are_refused(X, y):
    class LazyFrame:  # as of polars
        columns = ("a", "b")

        def __len__(self):
            raise AssertionError

        def collect(self):
            raise AssertionError

    with pytest.raises(DataError, match=r"expected a data frame of pandas or polars; got LazyFrame"):
        classifier().fit(LazyFrame(), y)
    table = type("Table", (), {"__module__": "pyarrow.lib", "columns": X.to_numpy().T, "__len__": lambda self: ROWS})
    with pytest.raises(DataError, match=r"expected a data frame of pandas or polars; got Table"):
        classifier().fit(table(), y)
