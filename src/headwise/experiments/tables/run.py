"""Columns as tokens against boosted trees and a linear model: the same tables, the same folds, several seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from headwise.data.tabular import TABLES, TableData, load_table
from headwise.experiments.results_cache import cached_result, run_file, runs_table
from headwise.experiments.statistics import ALPHA, Interval, min_attainable_p, sign_flip_test, t_interval
from headwise.files import write_text
from headwise.progress import NoProgress, Progress
from headwise.text import Statement, pluralize
from headwise.validation import check_counts, check_unique

__all__ = ["MODELS", "TableScores", "TablesStudy", "study_tables"]

FOLDS = 5
TRANSFORMER, TREES, LINEAR = MODELS = ("transformer", "boosted trees", "linear model")
_WHOLE = 10**9  # shares of the variance as whole numbers, for the exact test


@dataclass(frozen=True)
class TableScores:
    """How well each model does on one table.

    Attributes
    ----------
    table : str
    rows, columns, categories : int
        Of the columns, so many hold categories.
    classes : bool
        Scores are accuracies if so, else shares of the variance (R²); both over all rows, each predicted by the model
        that had not seen its fold.
    scores : dict of tuple
        By model, one a seed. A seed says how the rows are dealt out to the folds, and how training begins.
    """

    table: str
    rows: int
    columns: int
    categories: int
    classes: bool
    scores: dict[str, tuple[float, ...]]

    def interval(self, model: str) -> Interval:
        """Mean and Student's interval over the seeds."""
        return t_interval(self.scores[model])

    def ahead(self, other: str) -> Interval:
        """The transformer's score less another's, seed by seed."""
        return t_interval(np.subtract(self.scores[TRANSFORMER], self.scores[other]))

    def p(self, other: str) -> float:
        """Of the exact test of these differences over the seeds."""
        differences = np.subtract(self.scores[TRANSFORMER], self.scores[other])
        whole = self.rows if self.classes else _WHOLE  # rows that are right are counted: what ties must be seen to
        return sign_flip_test([round(d * whole) for d in differences.tolist()])


@dataclass(frozen=True)
class TablesStudy:
    """Scores on every table, and on how many seeds they rest."""

    tables: tuple[TableScores, ...]
    seeds: int

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return {
            "seeds": self.seeds,
            "folds": FOLDS,
            "tables": [
                {
                    **asdict(each),
                    "against": {m: {**each.ahead(m)._asdict(), "p": each.p(m)} for m in MODELS[1:]},
                }
                for each in self.tables
            ],
        }

    def conclusion(self) -> tuple[Statement, ...]:
        """Sentences chosen by the figures."""
        said = [_against(each, other) for each in self.tables for other in MODELS[1:]]
        if min_attainable_p(self.seeds) > ALPHA:
            said.append(
                Statement(
                    "With {seeds} the exact test cannot give less than p = {smallest:.2g}, so it could not have "
                    "shown a difference at {level}.",
                    {"seeds": pluralize(self.seeds, "seed"), "smallest": min_attainable_p(self.seeds), "level": ALPHA},
                )
            )
        said.append(
            Statement(
                "This is about these very rows, dealt out anew by every seed: it does not say what other rows or other "
                "tables would show."
            )
        )
        return tuple(said)


def study_tables(
    folder: Path,
    *,
    tables: Sequence[str] = tuple(TABLES),
    seeds: int = 6,
    workers: int = 1,
    progress: Progress | None = None,
    **settings: Any,
) -> TablesStudy:
    """Predict every row of every table by models that have not seen its fold; finished runs in the folder are kept.

    Parameters
    ----------
    folder : Path
        For ``runs/``, a file a run, and ``runs.csv``, a row for each ever finished there, whatever its settings.
    tables : sequence of str
        Of `headwise.data.tabular.TABLES`.
    seeds : int
    workers : int
        Threads of each model.
    progress : Progress, optional
    **settings
        Parameters of the transformer's estimator other than its own defaults.

    Returns
    -------
    TablesStudy

    Raises
    ------
    DataError
        If there is nothing to run, no such table, or one twice.
    """
    check_counts(seeds=seeds, tables=len(tables), workers=workers)
    check_unique(tables=tables)
    loaded = [load_table(name) for name in tables]
    progress = progress or NoProgress()
    progress.stage("tables", len(loaded) * len(MODELS) * seeds)
    rows: list[dict[str, Any]] = []
    for data in loaded:
        for model in MODELS:
            for seed in range(seeds):
                made_of = {"table": data.name, "rows": len(data.X), "model": model, "seed": seed, "folds": FOLDS}
                made_of |= _settings(data, settings) if model == TRANSFORMER else {}
                path = run_file(folder / "runs", f"{data.name}-{model}-{seed}".replace(" ", "-"), made_of)
                score = cached_result(path, made_of, partial(_score, data, model, seed, workers, settings))["score"]
                write_text(folder / "runs.csv", runs_table(folder / "runs"))
                rows.append({"table": data.name, "model": model, "seed": seed, "score": score})
                progress.advance(f"{data.name}, {model}, seed {seed}: {score:.3f}")
    return TablesStudy(tuple(_gathered(data, rows) for data in loaded), seeds)


def _score(data: TableData, model: str, seed: int, workers: int, settings: dict[str, Any]) -> dict[str, float]:
    """Accuracy, or R², over all rows."""
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

    folds = (StratifiedKFold if data.is_classification else KFold)(FOLDS, shuffle=True, random_state=seed)
    make: dict[str, Callable[[TableData, int], Any]] = {
        TRANSFORMER: partial(_transformer, workers=workers, settings=settings),
        TREES: _trees,
        LINEAR: _linear,
    }
    with threadpool_limits(workers, user_api="openmp"):  # the trees' threads wait busily for each other
        said = cross_val_predict(make[model](data, seed), data.X, data.y, cv=folds)
    return {"score": float((accuracy_score if data.is_classification else r2_score)(data.y, said))}


def _settings(data: TableData, settings: dict[str, Any]) -> dict[str, Any]:
    """All that decides how the transformer is made and trained, but the seed; threads do not."""
    everything = _transformer(data, 0, workers=1, settings=settings).get_params()
    return {name: value for name, value in everything.items() if name not in ("n_jobs", "random_state", "verbose")}


def _transformer(data: TableData, seed: int, *, workers: int, settings: dict[str, Any]) -> Any:
    from headwise.estimators import TransformerClassifier, TransformerRegressor

    make = TransformerClassifier if data.is_classification else TransformerRegressor
    return make("table", categories=list(data.categorical), n_jobs=workers, random_state=seed, **settings)


def _trees(data: TableData, seed: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    numbered = ColumnTransformer([("categories", OrdinalEncoder(), list(data.categorical))], remainder="passthrough")
    make = HistGradientBoostingClassifier if data.is_classification else HistGradientBoostingRegressor
    return make_pipeline(
        numbered, make(categorical_features=list(range(len(data.categorical))) or None, random_state=seed)
    )


def _linear(data: TableData, seed: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    spread = ColumnTransformer([("categories", OneHotEncoder(), list(data.categorical))], remainder=StandardScaler())
    return make_pipeline(spread, LogisticRegression(max_iter=1000) if data.is_classification else Ridge())


def _gathered(data: TableData, rows: Sequence[dict[str, Any]]) -> TableScores:
    own = [row for row in rows if row["table"] == data.name]
    scores = {model: tuple(row["score"] for row in own if row["model"] == model) for model in MODELS}
    count, columns = data.X.shape
    return TableScores(data.name, count, columns, len(data.categorical), data.is_classification, scores)


def _against(each: TableScores, other: str) -> Statement:
    found, p = each.ahead(other), each.p(other)
    values = {
        "table": each.table,
        "other": other,
        "by": abs(found.mean) * 100,
        "what": "points of accuracy" if each.classes else "points of the variance",
        "p": p,
    }
    if p > ALPHA:
        return Statement("{table}: no difference from the {other} is shown (p = {p:.2g}).", values)
    way = "more" if found.mean > 0 else "less"
    return Statement("{table}: {by:.1f} {what} " + way + " than the {other} (p = {p:.2g}).", values)
