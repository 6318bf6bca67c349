import csv
import json

import numpy as np
import pytest

from headwise.errors import DataError
from headwise.experiments.results_cache import config_digest
from headwise.experiments.statistics import sign_flip_test
from headwise.experiments.tables.run import LINEAR, MODELS, TRANSFORMER, TREES, TableScores, TablesStudy, study_tables
from headwise.text import as_text

QUICK = {"max_iter": 4, "d_model": 8, "n_layers": 1, "n_heads": 2}


def test_runs_are_kept_and_folds_are_shared(tmp_path):
    found = study_tables(tmp_path, tables=["wine", "diabetes"], seeds=2, **QUICK)
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(MODELS) * 2
    wine, diabetes = found.tables
    assert (wine.rows, wine.columns, wine.categories, wine.classes) == (178, 13, 0, True)
    assert min(wine.scores[LINEAR]) > 0.95
    assert min(wine.scores[TREES]) > 0.9
    assert 0.4 < min(diabetes.scores[LINEAR]) < 0.55
    [path] = (tmp_path / "runs").glob("wine-transformer-1-*.json")
    content, other = json.loads(path.read_text()), {"score": 0.25}
    path.write_text(json.dumps({**content, "result": other, "sum": config_digest(other)}))
    again = study_tables(tmp_path, tables=["wine"], seeds=2, **QUICK)
    assert again.tables[0].scores[TRANSFORMER][1] == 0.25
    assert again.tables[0].scores[LINEAR] == wine.scores[LINEAR]
    study_tables(tmp_path, tables=["wine"], seeds=1, **QUICK | {"max_iter": 1})
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert sorted(row["max_iter"] for row in rows) == [""] * 8 + ["1"] + ["4"] * 4


def scores(transformer, trees, linear):
    return TableScores("wine", 178, 13, 0, True, dict(zip(MODELS, (transformer, trees, linear), strict=True)))


def test_the_conclusion_is_chosen_by_the_figures():
    base = np.linspace(0.90, 0.95, 6)
    better, worse = tuple(base + 0.02), tuple(base - 0.03)
    mixed = tuple(base + np.array([1, -1, 1, -1, 1, -1]) / 100)
    text = [as_text(s) for s in TablesStudy((scores(tuple(base), worse, better),), 6).conclusion()]
    assert text[0] == "wine: 3.0 points of accuracy more than the boosted trees (p = 0.031)."
    assert text[1] == "wine: 2.0 points of accuracy less than the linear model (p = 0.031)."
    text = [as_text(s) for s in TablesStudy((scores(tuple(base), mixed, better),), 6).conclusion()]
    assert text[0].startswith("wine: no difference from the boosted trees is shown (p = 1")
    few = TablesStudy((scores(better[:2], worse[:2], worse[:2]),), 2)
    assert "With 2 seeds the exact test cannot give less than p = 0.5" in as_text(few.conclusion()[2])
    one = TablesStudy((scores(better[:1], worse[:1], worse[:1]),), 1)
    assert "With 1 seed the exact test cannot give less than p = 1" in as_text(one.conclusion()[2])
    assert not any("cannot give" in line for line in text)


@pytest.mark.parametrize("rows", [178, 569, 1043])
def test_equal_counts_of_right_rows_are_ties(rows, rng):
    for _ in range(200):
        others, more = rng.integers(rows - 20, rows - 5, 6), rng.integers(-2, 6, 6)
        found = dict(zip(MODELS, (tuple((others + more) / rows), tuple(others / rows), ()), strict=True))
        assert TableScores("any", rows, 3, 0, True, found).p(TREES) == sign_flip_test(more.tolist())


def test_refusals(tmp_path):
    with pytest.raises(DataError, match="table: expected one of breast-cancer, wine, titanic, diabetes; got 'iris'"):
        study_tables(tmp_path, tables=["wine", "iris"])
    with pytest.raises(DataError, match="seeds: expected 1 or more; got 0"):
        study_tables(tmp_path, tables=["wine"], seeds=0)
    with pytest.raises(DataError, match="tables: expected each once; got wine, titanic, wine"):
        study_tables(tmp_path, tables=["wine", "titanic", "wine"])
    assert not list(tmp_path.iterdir())
