"""Cross-validate three models on the same tables and the same folds, with several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from headwise.data.tabular import TABLES, TableData, load_table
from headwise.experiments.protocol import Run, Runner
from headwise.experiments.statistics import Interval, sign_flip_test, t_interval
from headwise.experiments.store import Outcome
from headwise.parallel.threads import num_threads
from headwise.validation import check_counts, check_unique

FOLDS = 5
TRANSFORMER, TREES, LINEAR = MODELS = ("transformer", "boosted trees", "linear model")
_SCALE = 10**9  # turns R² into whole numbers, for the exact test


@dataclass(frozen=True)
class TablesPlan:
    """What is run.

    Raises DataError if there is nothing to run, or a table is named twice.
    """

    tables: tuple[str, ...] = tuple(TABLES)  # of `headwise.data.tabular.TABLES`
    seeds: int = 6  # a seed determines how the rows are dealt into folds, and how training starts
    # parameters of the transformer's estimator that differ from its defaults
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_counts(seeds=self.seeds, tables=len(self.tables))
        check_unique(tables=self.tables)


@dataclass(frozen=True)
class TableScores:
    """The scores of each model on one table."""

    table: str
    # `categories` is the number of columns that hold categories
    rows: int
    columns: int
    categories: int
    # if true, scores are accuracies, otherwise R²; over all rows, each predicted by a model not trained on its fold
    classes: bool
    scores: dict[str, tuple[float, ...]]  # by model, one for each seed

    def interval(self, model: str) -> Interval:
        """Mean and Student's interval over the seeds."""
        return t_interval(self.scores[model])

    def difference(self, other: str) -> Interval:
        """The transformer's score minus the other model's, seed by seed."""
        return t_interval(np.subtract(self.scores[TRANSFORMER], self.scores[other]))

    def p(self, other: str) -> float:
        """The exact sign-flip test of these differences."""
        differences = np.subtract(self.scores[TRANSFORMER], self.scores[other])
        scale = self.rows if self.classes else _SCALE  # an accuracy is a count of rows; the test needs exact ties
        return sign_flip_test([round(difference * scale) for difference in differences.tolist()])


@dataclass(frozen=True)
class TablesResult:
    """Scores on every table, and the number of seeds."""

    tables: tuple[TableScores, ...]
    seeds: int

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        tables = []
        for scores in self.tables:
            against = {other: {**scores.difference(other)._asdict(), "p": scores.p(other)} for other in MODELS[1:]}
            tables.append({**asdict(scores), "against": against})
        return {"seeds": self.seeds, "folds": FOLDS, "tables": tables}


def run(plan: TablesPlan, runner: Runner) -> TablesResult:
    """Predict every row of every table with models that were not trained on its fold."""
    tables = [load_table(name) for name in plan.tables]
    outcomes = iter(runner.run("tables", list_runs(plan), lambda outcome: f"{outcome.values['score']:.3f}"))
    results = []
    for data in tables:
        scores = {model: tuple(next(outcomes).values["score"] for _ in range(plan.seeds)) for model in MODELS}
        rows, columns = data.X.shape
        results.append(TableScores(data.name, rows, columns, len(data.categorical), data.is_classification, scores))
    return TablesResult(tuple(results), plan.seeds)


def list_runs(plan: TablesPlan) -> list[Run]:
    """Every model on every table with every seed."""
    tables = [load_table(name) for name in plan.tables]
    return [_run(data, model, seed, plan.settings) for data in tables for model in MODELS for seed in range(plan.seeds)]


def _run(data: TableData, model: str, seed: int, settings: Mapping[str, Any]) -> Run:
    config: dict[str, Any] = {"table": data.name, "rows": len(data.X), "model": model, "seed": seed, "folds": FOLDS}
    if model == TRANSFORMER:
        params = _transformer(data, 0, settings).get_params()
        config |= {name: params[name] for name in params if name not in ("n_jobs", "random_state", "verbose")}
    name = f"{data.name}-{model}-{seed}".replace(" ", "-")
    return Run(name, config, partial(_score, data, model, seed, settings))


def _score(data: TableData, model: str, seed: int, settings: Mapping[str, Any]) -> Outcome:
    """Accuracy or R² over all rows."""
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

    folds = (StratifiedKFold if data.is_classification else KFold)(FOLDS, shuffle=True, random_state=seed)
    estimators: dict[str, Callable[[TableData, int], Any]] = {
        TRANSFORMER: partial(_transformer, settings=settings),
        TREES: _trees,
        LINEAR: _linear,
    }
    with threadpool_limits(1, user_api="openmp"):  # on tables this small, several threads of the trees only wait
        predicted = cross_val_predict(estimators[model](data, seed), data.X, data.y, cv=folds)
    return Outcome({"score": float((accuracy_score if data.is_classification else r2_score)(data.y, predicted))})


def _transformer(data: TableData, seed: int, settings: Mapping[str, Any]) -> Any:
    from headwise.estimators import TransformerClassifier, TransformerRegressor

    estimator = TransformerClassifier if data.is_classification else TransformerRegressor
    return estimator("table", categories=list(data.categorical), n_jobs=num_threads(), random_state=seed, **settings)


def _trees(data: TableData, seed: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    encoder = ColumnTransformer([("categories", OrdinalEncoder(), list(data.categorical))], remainder="passthrough")
    estimator = HistGradientBoostingClassifier if data.is_classification else HistGradientBoostingRegressor
    categorical = list(range(len(data.categorical))) or None
    return make_pipeline(encoder, estimator(categorical_features=categorical, random_state=seed))


def _linear(data: TableData, seed: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encoder = ColumnTransformer([("categories", OneHotEncoder(), list(data.categorical))], remainder=StandardScaler())
    return make_pipeline(encoder, LogisticRegression(max_iter=1000) if data.is_classification else Ridge())
