import numpy as np
import pytest

from headwise.data.tabular import TABLES, load_table


@pytest.mark.parametrize(
    ("name", "rows", "columns", "categories"),
    [("breast-cancer", 569, 30, 0), ("wine", 178, 13, 0), ("titanic", 1043, 7, 3), ("diabetes", 442, 10, 1)],
)
def test_the_tables_are_what_they_say(name, rows, columns, categories):
    data = load_table(name)
    assert data.rows.shape == (rows, columns) == (len(data.answers), len(data.names))
    assert len(data.categories) == categories
    numbers = np.delete(data.rows, data.categories, axis=1).astype(float)
    assert np.isfinite(numbers).all()
    assert all(len(set(data.rows[:, j])) <= 3 for j in data.categories)
    assert data.answers.dtype.kind == ("U" if data.classes else "f")


def test_the_titanic_is_known_from_the_books():
    data = load_table("titanic")
    women = data.rows[:, 1] == "female"
    survived = data.answers == "survived"
    assert survived[women].mean() > 0.7 > 0.3 > survived[~women].mean()
    assert set(TABLES) == {"breast-cancer", "wine", "titanic", "diabetes"}
