"""The tabular experiment: its runs on shared folds, and the findings."""

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.experiments import Runner
from headwise.experiments.statistics import sign_flip_test
from headwise.experiments.tables import EXPERIMENT, MODELS, TableScores, TablesPlan, TablesResult
from headwise.experiments.tables.run import LINEAR, TREES
from headwise.text import as_text

QUICK = {"max_iter": 4, "d_model": 8, "n_layers": 1, "n_heads": 2}


@pytest.mark.exhaustive
def test_runs_share_their_folds(tmp_path):
    def run(**plan):
        return EXPERIMENT.run(TablesPlan(**{"settings": QUICK} | plan), Runner(tmp_path, threads=1))

    result = run(tables=("wine", "diabetes"), seeds=2)
    wine, diabetes = result.tables
    assert (wine.rows, wine.columns, wine.categories, wine.classes) == (178, 13, 0, True)
    assert min(wine.scores[LINEAR]) > 0.95
    assert min(wine.scores[TREES]) > 0.9
    assert 0.4 < min(diabetes.scores[LINEAR]) < 0.55
    assert run(tables=("wine",), seeds=2).tables == (wine,)
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2 * len(MODELS) * 2
    run(tables=("wine",), seeds=1, settings=QUICK | {"max_iter": 1})
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2 * len(MODELS) * 2 + 1  # the transformer alone


def scores(transformer, trees, linear):
    return TableScores("wine", 178, 13, 0, True, dict(zip(MODELS, (transformer, trees, linear), strict=True)))


def text_of(result):
    return [as_text(statement) for part in EXPERIMENT.findings(result).values() for statement in part]


def test_the_findings_follow_from_the_numbers():
    base = np.linspace(0.90, 0.95, 6)
    better, worse = tuple(base + 0.02), tuple(base - 0.03)
    mixed = tuple(base + np.array([1, -1, 1, -1, 1, -1]) / 100)
    text = text_of(TablesResult((scores(tuple(base), worse, better),), 6))
    assert text[0] == "wine: 3.0 points of accuracy more than the boosted trees (p = 0.031)."
    assert text[1] == "wine: 2.0 points of accuracy less than the linear model (p = 0.031)."
    text = text_of(TablesResult((scores(tuple(base), mixed, better),), 6))
    assert text[0].startswith("wine: no difference from the boosted trees is shown (p = 1")
    few = TablesResult((scores(better[:2], worse[:2], worse[:2]),), 2)
    assert "With 2 seeds the exact test cannot give less than p = 0.5" in text_of(few)[2]
    one = TablesResult((scores(better[:1], worse[:1], worse[:1]),), 1)
    assert "With 1 seed the exact test cannot give less than p = 1" in text_of(one)[2]
    assert not any("cannot give" in line for line in text)


@pytest.mark.parametrize("rows", [178, 569, 1043])
def test_equal_counts_of_right_rows_are_ties(rows, rng):
    for _ in range(200):
        others, more = rng.integers(rows - 20, rows - 5, 6), rng.integers(-2, 6, 6)
        scores_by_model = dict(zip(MODELS, (tuple((others + more) / rows), tuple(others / rows), ()), strict=True))
        assert TableScores("any", rows, 3, 0, True, scores_by_model).p(TREES) == sign_flip_test(more.tolist())


def test_plans_that_make_no_sense(tmp_path):
    with pytest.raises(DataError, match=r"table: expected one of .*; got 'iris'"):
        EXPERIMENT.run(TablesPlan(("wine", "iris")), Runner(tmp_path))
    with pytest.raises(DataError, match="seeds: expected 1 or more; got 0"):
        TablesPlan(seeds=0)
    with pytest.raises(DataError, match="tables: expected each once; got wine, titanic, wine"):
        TablesPlan(("wine", "titanic", "wine"))
    assert not list(tmp_path.iterdir())
