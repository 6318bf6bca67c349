"""The estimators on every kind of data, in scikit-learn's own tools, and what they refuse."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headwise.errors import DataError, HeadwiseError, ShapeError
from headwise.estimators import TransformerClassifier, TransformerRegressor
from headwise.estimators.columns import category_columns
from headwise.estimators.encoders import ImageEncoder, SequenceEncoder

SMALL = {
    "d_model": 8,
    "n_layers": 1,
    "n_heads": 2,
    "d_ff": 16,
    "max_iter": 40,
    "learning_rate": 0.02,
    "random_state": 0,
}


def classifier(kind="auto", **changed):
    return TransformerClassifier(kind, **{**SMALL, **changed})


@pytest.fixture
def mixed(rng):
    """Sex decides, and age for one of them; the fare says nothing."""
    sex, age = rng.choice(["female", "male"], 120), rng.uniform(0, 80, 120).round()
    y = np.where((sex == "female") | (age < 40), "lived", "died")
    return pd.DataFrame({"fare": rng.normal(size=120), "sex": sex, "age": age}), y


@pytest.fixture
def series(rng):
    """Two variables; in one class the first rises, in the other it falls. 3 to 7 steps."""
    items, y = [], rng.integers(0, 2, 60)
    for way in y:
        steps = int(rng.integers(3, 8))
        slope = np.linspace(-1, 1, steps) * (1 if way else -1)
        items.append(np.column_stack([slope, 3 + rng.normal(size=steps)]) + rng.normal(size=(steps, 2)) / 9)
    return items, y


@pytest.mark.exhaustive
def test_breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    assert cross_val_score(classifier(max_iter=25), X, y, cv=3).mean() > 0.95


def test_a_data_frame_with_categories(mixed):
    X, y = mixed
    model = classifier(n_layers=2).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.tokens_ == ("class", "fare", "sex", "age")
    assert model.attention_.shape == (2, 2, 4, 4)
    weights = model.attention(X[:7])
    assert weights.shape == (7, 2, 2, 4, 4)
    np.testing.assert_allclose(weights.sum(-1), 1)
    np.testing.assert_allclose(model.attention_, model.attention(X).mean(axis=0), atol=1e-12)
    named = classifier(n_layers=2, categories=["sex"]).fit(X, y)
    placed = classifier(n_layers=2, categories=[1]).fit(X.to_numpy(dtype=object), y)
    np.testing.assert_array_equal(named.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(placed.predict_proba(X.to_numpy(dtype=object)), model.predict_proba(X))


def test_attention_is_laid_out_as_the_columns_are(mixed):
    """The category stands between two numbers; what a token is asked for is its own column."""
    X, y = mixed
    model = classifier().fit(X, y)
    other = X.copy()
    other.loc[0, "age"] += 30
    moved = np.abs(model.attention(other[:1]) - model.attention(X[:1]))[0, 0].max(axis=0)  # (N, N)
    quiet = [n for n in range(4) if model.tokens_[n] != "age"]
    assert moved[model.tokens_.index("age")].max() > 1e-3  # its own row, as what asks
    ratio = [model.attention(x[:1])[0, 0][:, quiet][:, :, quiet] for x in (X, other)]
    ratio = [r / r.sum(-1, keepdims=True) for r in ratio]
    np.testing.assert_allclose(ratio[0], ratio[1], atol=1e-9)  # among themselves, the others do as before


def test_series_of_unequal_length(series):
    items, y = series
    model = classifier(max_iter=60).fit(items, y)
    assert model.kind_ == "series"
    assert model.score(items, y) > 0.9
    padded = np.full((len(items), 7, 2), np.nan)
    for row, item in zip(padded, items, strict=True):
        row[: len(item)] = item
    np.testing.assert_allclose(model.predict_proba(padded), model.predict_proba(items))
    weights = model.attention(items[:5])
    for item, own in zip(items, weights, strict=False):
        np.testing.assert_allclose(own.sum(-1), np.arange(weights.shape[-1]) < len(item) + np.zeros((1, 2, 1)))
    np.testing.assert_allclose(model.attention_.sum(-1), 1)
    with pytest.raises(ShapeError, match="X: expected at most 7 steps, the longest training series; got 9"):
        model.predict(np.zeros((1, 9, 2)))


def test_sets_have_no_order(rng):
    X = rng.uniform(0, 9, (150, 4, 1))
    y = X.max(axis=1)[:, 0]
    model = TransformerRegressor("sets", **{**SMALL, "max_iter": 60}).fit(X, y)
    assert model.score(X, y) > 0.9
    for order in (rng.permutation(4) for _ in range(5)):
        np.testing.assert_allclose(model.predict(X[:, order]), model.predict(X), rtol=1e-10)
    assert model.predict(X[:, :2]).shape == (150,)  # other sizes of sets than those of the training
    assert model.predict(np.concatenate([X, X], axis=1)).shape == (150,)


def test_what_never_changes_is_not_blown_up():
    same = np.full((10, 5, 2), 0.1)  # NumPy's deviation of these is not 0
    other, lengths = SequenceEncoder.fit(same, ordered=True).transform(same + 0.1)
    np.testing.assert_allclose(other, 0.1, rtol=1e-6)
    assert lengths.tolist() == [5] * 10
    assert ImageEncoder.fit(same, "rows").std == 1


def test_images():
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8)[:400]
    model = classifier("images", tokenizer="2x8", d_model=16, max_iter=25).fit(X, y[:400])
    assert model.score(X, y[:400]) > 0.9
    assert model.attention_.shape == (1, 2, 5, 5)
    assert model.tokens_[:2] == ("class", "token 0")
    with pytest.raises(ShapeError, match=r"X: expected images of \(8, 8\) pixels, as in training; got \(8, 7\)"):
        model.predict(X[:2, :, 1:])


def test_scikit_learns_tools(mixed):
    X, y = mixed
    numbers = X[["fare", "age"]].to_numpy()
    pipeline = make_pipeline(StandardScaler(), classifier(max_iter=5))
    search = GridSearchCV(pipeline, {"transformerclassifier__d_model": [4, 8]}, cv=2).fit(numbers, y)
    assert search.best_estimator_.predict(numbers).shape == (120,)
    model = classifier(max_iter=5).fit(X, y)
    again, copy = pickle.loads(pickle.dumps(model)), clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    assert clone(model).get_params() == model.get_params()


def test_training_stops_early_at_its_best(mixed, rng):
    X, _ = mixed
    y = rng.integers(0, 2, 120)  # nothing to learn
    model = classifier(max_iter=200, n_iter_no_change=4).fit(X, y)
    losses = [epoch.validation_loss for epoch in model.history_]
    assert model.n_iter_ == len(losses) < 200
    assert int(np.argmin(losses)) == len(losses) - 5
    whole = classifier(max_iter=7, validation_fraction=0).fit(X, y)
    assert whole.n_iter_ == 7
    assert whole.history_[0].validation_loss is None


def test_a_progress_bar(mixed, capsys):
    X, y = mixed
    classifier(max_iter=3, verbose=1).fit(X, y)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3/3" in shown.err
    assert "validation" in shown.err
    classifier(max_iter=3).fit(X, y)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.assign(age=np.where(X.age > 70, np.nan, X.age)), "age: [0-9]+ of 120 numbers are missing"),
        (lambda X: X.assign(sex=X.sex.where(X.age < 70)), "sex: [0-9]+ of 120 categories are missing"),
        (lambda X: X.assign(sex=X.sex.where(X.age < 70).astype("string")), "sex: [0-9]+ of 120 categories are missing"),
        (lambda X: X.assign(age=X.age.astype("Int64").where(X.age < 70)), "age: [0-9]+ of 120 numbers are missing"),
        (lambda X: X.assign(age=X.age.where(X.age < 70, 1e300)), "X: item [0-9]+ contains a number too large"),
        (
            lambda X: X.assign(sex=X.sex.replace("male", "unknown")),
            "sex: 'unknown' does not occur in",
        ),
    ],
)
def test_a_table_that_cannot_be_read(mixed, change, message):
    X, y = mixed
    model = classifier(max_iter=1).fit(X, y)
    with pytest.raises(DataError, match=message):
        model.predict(change(X))


@pytest.mark.parametrize(
    ("settings", "X", "y", "message"),
    [
        ({"kind": "trees"}, np.ones((4, 2)), [0, 0, 1, 1], "kind: expected one of auto, table, series, sets, images"),
        ({}, np.ones((4, 2)), [0, 0, 0, 1], "class 1 has 1 sample, and early stopping needs"),
        ({}, np.ones((4, 3, 2)), [0, 1], "y: expected 4 values, one per item of X; got 2"),
        ({"validation_fraction": 1.5}, np.ones((4, 2)), [0, 0, 1, 1], "validation_fraction: expected a number"),
        ({"n_iter_no_change": 0}, np.ones((4, 2)), [0, 0, 1, 1], "n_iter_no_change: expected 1 or more"),
        ({"d_model": 0}, np.ones((4, 2)), [0, 0, 1, 1], "d_model: expected 1 or more; got 0"),
        ({"n_heads": 3}, np.ones((4, 2)), [0, 0, 1, 1], "n_heads: expected a divisor of d_model 8"),
        ({"kind": "sets"}, np.ones((4, 2)), [0, 0, 1, 1], r"X: expected \(items, members, variables\) for sets"),
        ({"kind": "sets"}, np.ones((4, 0, 2)), [0, 0, 1, 1], "X: expected items that are not empty"),
        ({"kind": "images", "tokenizer": "3x3"}, np.ones((4, 8, 8)), [0, 0, 1, 1], "divides the image's 8 pixels"),
        ({"categories": "sex"}, np.ones((4, 2)), [0, 0, 1, 1], 'categories: expected "auto", or a list of columns'),
        (
            {"categories": [0, 0]},
            np.ones((4, 2)),
            [0, 0, 1, 1],
            "categories: expected each once; got 0, 0",
        ),
        ({"categories": [5]}, np.ones((4, 2)), [0, 0, 1, 1], "categories: 5 is not a column of X"),
        ({}, [np.ones((2, 2)), np.ones((3, 1))], [0, 1], r"as many variables in every item; got \[1, 2\]"),
        ({}, np.full((4, 2), np.nan), [0, 0, 1, 1], "column 0: 4 of 4 numbers are missing"),
        ({}, pd.DataFrame({"a": [1, 2, 3, 4], "b": [1, 2, 3, np.nan]}), [0, 0, 1, 1], "b: 1 of 4 numbers are missing"),
        ({"max_iter": 2.5}, np.ones((4, 2)), [0, 0, 1, 1], "max_iter: expected a whole number; got 2.5"),
        ({"batch_size": 2.5}, np.ones((4, 2)), [0, 0, 1, 1], "batch_size: expected a whole number; got 2.5"),
        (
            {"n_iter_no_change": None},
            np.ones((4, 2)),
            [0, 0, 1, 1],
            "n_iter_no_change: expected a whole number; got None",
        ),
        (
            {"validation_fraction": None},
            np.ones((4, 2)),
            [0, 0, 1, 1],
            "validation_fraction: expected a number .* got None",
        ),
        (
            {"validation_fraction": "a"},
            np.ones((4, 2)),
            [0, 0, 1, 1],
            "validation_fraction: expected a number .* got 'a'",
        ),
        ({"learning_rate": "x"}, np.ones((4, 2)), [0, 0, 1, 1], "learning_rate: expected a number from 0; got 'x'"),
        ({"kind": "images", "tokenizer": None}, np.ones((4, 8, 8)), [0, 0, 1, 1], "tokenizer: expected a name such as"),
        ({"categories": None}, np.ones((4, 2)), [0, 0, 1, 1], 'categories: expected "auto", or a list of columns'),
        ({"categories": [True]}, np.ones((4, 2)), [0, 0, 1, 1], "categories: expected a mask of 2 entries"),
        (
            {"kind": "images"},
            [np.ones((8, 8)), np.ones((7, 8))],
            [0, 1],
            r"images of one size; got \[\(7, 8\), \(8, 8\)\]",
        ),
        ({"kind": "images"}, np.full((4, 8, 8), np.inf), [0, 0, 1, 1], "X: image 0 contains NaN or infinity"),
        ({"kind": "series"}, [np.ones((2, 2)), np.ones(3)], [0, 1], r"X: expected items of shape \(N, V\)"),
        ({}, [np.ones(3), np.ones(4)], [0, 1], r"Series are a list of \(N, V\) arrays"),
        ({"kind": "series"}, [[1, 2], [1]], [0, 1], r"Series are a list of \(N, V\) arrays"),
        ({}, [[[1, 2], [1]], [[1, 2]]], [0, 1], r"X: expected items of numbers, of shape \(N, V\)"),
        ({}, np.ones((4, 2)), ["a", None, "b", "a"], "y: 1 of 4 values are missing"),
        ({}, np.ones((4, 2)), pd.Series(["a", pd.NA, "b", "a"], dtype="string"), "y: 1 of 4 values are missing"),
        ({}, pd.DataFrame({"a": [1j] * 4, "b": list("cdcd")}), [0, 0, 1, 1], "a: expected numbers; got 1j"),
        ({"kind": "images"}, np.ones((4, 8, 8, 3)), [0, 0, 1, 1], "Average the colours"),
        ({"kind": "sets"}, [{1, 2}] * 4, [0, 0, 1, 1], "got sets. Pass the members of each as rows"),
        ({}, (row for row in np.ones((4, 2))), [0, 0, 1, 1], "a list of items; got generator"),
        ({}, Path("a.csv"), [0, 0, 1, 1], "a list of items; got PosixPath"),
        ({}, np.array([["a", "b"]] * 4), [0, 0, 1, 1], "X: expected numbers; .* List categorical columns"),
        ({}, pd.DataFrame({"a": [np.ones(2)] * 4}), [0, 0, 1, 1], "a: expected numbers or categories; got a ndarray"),
        ({"categories": [0]}, np.array([["a", "b"]] * 4), [0, 0, 1, 1], "column 1: expected numbers; got 'b'"),
    ],
)
def test_refusals(settings, X, y, message):
    with pytest.raises(ValueError, match=message):
        classifier(**settings).fit(X, y)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_training_that_diverges(rng):
    with pytest.raises(DataError, match=r"learning_rate: .* 1e\+09 .* epoch 1"):
        classifier(learning_rate=1e9).fit(rng.normal(size=(40, 3)), np.arange(40) % 2)


def test_values_that_are_too_large(rng):
    X = rng.normal(size=(40, 8, 8))
    X[3] = 1e39
    with pytest.raises(DataError, match="X: item 3 contains a number too large"):
        classifier("images").fit(X, np.arange(40) % 2)
    with pytest.raises(DataError, match="y: values are too large"):
        TransformerRegressor(**SMALL).fit(np.ones((40, 2)), 1e300 * rng.normal(size=40))


@pytest.mark.parametrize(
    ("names", "categories", "marked"),
    [
        (["fare", "sex"], [False, True], (1,)),
        (["fare", "sex"], np.array([False, True]), (1,)),
        ([1, 0], [0], (1,)),  # the name, not the place
        ([5, 6], [6], (1,)),
        (["fare", "sex"], [1], (1,)),
    ],
)
def test_which_columns_hold_categories(names, categories, marked, rng):
    X = pd.DataFrame({names[0]: rng.normal(size=40), names[1]: np.arange(40) % 3})
    assert category_columns(categories, X) == marked


def test_a_place_is_no_name_among_numbers(rng):
    X = pd.DataFrame({5: rng.normal(size=40), 6: np.arange(40) % 3})
    with pytest.raises(DataError, match=r"categories: 1 is not a column of X, which has \[5, 6\]"):
        classifier(categories=[1]).fit(X, np.arange(40) % 2)


@pytest.mark.parametrize("kind", ["auto", "series"])
def test_series_in_lists_and_arrays_of_objects(kind, series):
    items, y = series
    objects = np.empty(len(items), dtype=object)
    objects[:] = items
    expected = classifier(kind, max_iter=1).fit(items, y).predict_proba(items)
    for same in ([item.tolist() for item in items], objects):
        np.testing.assert_array_equal(classifier(kind, max_iter=1).fit(same, y).predict_proba(same), expected)


def test_holes_and_empty_items():
    X = np.ones((4, 3, 2))
    X[1, 1] = np.nan
    with pytest.raises(HeadwiseError, match="X: item 1 contains NaN or infinity; only full rows of NaN at the end"):
        classifier().fit(X, [0, 0, 1, 1])
    X[1] = np.nan
    with pytest.raises(HeadwiseError, match="X: item 1 is empty"):
        classifier("sets").fit(X, [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("y", "message"),
    [([0.0, 1.0, np.nan, 1.0], "Input y contains NaN"), (["a", "b", "a", "b"], "y: expected numbers; got 'a'")],
)
def test_values_that_are_none(y, message):
    with pytest.raises(ValueError, match=message):
        TransformerRegressor(**SMALL).fit(np.ones((4, 3, 2)), y)


def test_threads_change_nothing(mixed):
    X, y = mixed
    found = [classifier(max_iter=2, n_jobs=n).fit(X, y).predict_proba(X) for n in (None, 2, -1)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    with pytest.raises(ValueError, match="n_jobs == 0"):
        classifier(n_jobs=0).fit(X, y)


def test_another_width_is_refused(mixed):
    X, y = mixed
    model = classifier(max_iter=1).fit(X[["fare", "age"]].to_numpy(), y)
    with pytest.raises(ValueError, match="3 features, but TransformerClassifier is expecting 2"):
        model.predict(np.ones((2, 3)))
    series = classifier(max_iter=1).fit(np.ones((4, 3, 2)), [0, 0, 1, 1])
    with pytest.raises(ShapeError, match="X: expected 2 variables, as in training; got 5"):
        series.predict(np.ones((4, 3, 5)))


def test_headwise_alone_does_not_load_it():
    code = "import sys, headwise; print('sklearn' in sys.modules); import headwise.estimators"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
