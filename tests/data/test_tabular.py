import numpy as np
import pytest

from headwise.data.tabular import TABLES, load_table


@pytest.mark.parametrize(
    ("name", "rows", "columns", "categories"),
    [("breast-cancer", 569, 30, 0), ("wine", 178, 13, 0), ("titanic", 1043, 7, 3), ("diabetes", 442, 10, 1)],
)
def test_the_tables_are_what_they_say(name, rows, columns, categories):
    data = load_table(name)
    assert data.X.shape == (rows, columns) == (len(data.y), len(data.column_names))
    assert len(data.categorical) == categories
    numbers = np.delete(data.X, data.categorical, axis=1).astype(float)
    assert np.isfinite(numbers).all()
    assert all(len(set(data.X[:, j])) <= 3 for j in data.categorical)
    assert data.y.dtype.kind == ("U" if data.is_classification else "f")


def test_the_titanic_is_known_from_the_books():
    data = load_table("titanic")
    women = data.X[:, 1] == "female"
    survived = data.y == "survived"
    assert survived[women].mean() > 0.7 > 0.3 > survived[~women].mean()
    assert set(TABLES) == {"breast-cancer", "wine", "titanic", "diabetes"}
