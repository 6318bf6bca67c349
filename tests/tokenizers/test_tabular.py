import numpy as np
import pytest

from headwise.errors import DataError, ShapeError
from headwise.tokenizers.tabular import ColumnEncoder


def test_columns_learn_and_encode(rng):
    numbers = np.column_stack([rng.normal(5, 3, 50), np.full(50, 0.1)])
    colours = rng.choice(["red", "blue", "green"], 50)
    columns = ColumnEncoder.fit(numbers, [colours])
    assert columns.names == ("number 0", "number 1", "category 0")
    standard, codes = columns.transform(numbers, [colours])
    np.testing.assert_allclose(standard[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(standard[:, 0].std(), 1, atol=1e-6)
    np.testing.assert_allclose(standard[:, 1], 0, atol=1e-6)  # a constant column, though NumPy's deviation is not 0
    np.testing.assert_allclose(columns.transform([[5.0, 0.2]], [["red"]])[0][0, 1], 0.1)
    assert [columns.categories[0][c] for c in codes[:, 0]] == colours.tolist()


def test_refusals():
    with pytest.raises(DataError, match="expected at least one row; got an empty table"):
        ColumnEncoder.fit(np.zeros((0, 3)))
    with pytest.raises(DataError, match="at least one column"):
        ColumnEncoder.fit(np.zeros((3, 0)))
    with pytest.raises(DataError, match=r"age: 1 of 2 numbers are missing or infinite\. Impute them"):
        ColumnEncoder.fit([[1.0], [np.nan]], names=["age"])
    with pytest.raises(DataError, match=r"port: 2 of 3 categories are missing\. Use a category"):
        ColumnEncoder.fit(np.ones((3, 1)), [["S", None, np.nan]], ["age", "port"])
    with pytest.raises(ShapeError, match="names: expected 2, one per column; got 3"):
        ColumnEncoder.fit([[1.0], [2.0]], [["a", "b"]], ["x", "y", "z"])
    with pytest.raises(ShapeError, match="names: expected 2, one per column; got 1"):
        ColumnEncoder.fit([[1.0, 2.0]], names=["x"])
    with pytest.raises(ShapeError, match=r"numbers: expected \(B, J\), one row per item; got \(2,\)"):
        ColumnEncoder.fit([1.0, 2.0])
    with pytest.raises(DataError, match=r"numbers: expected a table of numbers"):
        ColumnEncoder.fit([["a"], ["b"]])
    with pytest.raises(ShapeError, match="categories 1: expected 2, one per row of the numbers; got 3"):
        ColumnEncoder.fit([[1.0], [2.0]], [["a", "b"], ["a", "b", "c"]])
    with pytest.raises(DataError, match=r"tags: expected numbers or categories; got a list, \['a'\]"):
        ColumnEncoder.fit([[1.0], [2.0]], [[["a"], ["b"]]], ["age", "tags"])
    with pytest.raises(DataError, match="fare: its numbers are too large"):
        ColumnEncoder.fit([[1.0, -1e308], [2.0, 1e308], [2.0, 1e308]], names=["age", "fare"])
    columns = ColumnEncoder.fit([[1.0], [2.0]], [["a", "b"]])
    with pytest.raises(ShapeError, match="categories 0: expected 2, one per row of the numbers; got 1"):
        columns.transform([[1.0], [2.0]], [["a"]])
    with pytest.raises(ShapeError, match="expected 1 columns of numbers and 1 of categories"):
        columns.transform(np.ones((2, 2)), [["a", "a"]])


def test_a_table_of_categories_alone():
    for nothing in ([], np.empty((2, 0))):
        columns = ColumnEncoder.fit(nothing, [["a", "b"]])
        standard, codes = columns.transform(nothing, [["b", "a"]])
        assert (standard.shape, codes.tolist()) == ((2, 0), [[1], [0]])
