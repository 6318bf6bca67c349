"""Train every model of the study until the validation loss no longer improves.

The record has one row for each run, how it was made, and the differences from rows.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from headwise import __version__
from headwise.coursework.rows_or_patches.plan import COMPARISONS, Cell, RowsPlan, cells, count_parameters
from headwise.data.mnist import Digits, LabelledImages, load_mnist
from headwise.experiments import Outcome, Run, Runner
from headwise.experiments.statistics import Interval, sign_flip_test, t_interval
from headwise.experiments.tokenizers.costs import cost
from headwise.nn.params import Params
from headwise.parallel.threads import num_threads
from headwise.runtime import blas_name, cpu_name
from headwise.shapes import IntArray
from headwise.train import ShardGradients, Task, TrainingConfig, ValidationResult, digits_task, evaluate, train

_POSITIONS = "embedding.positions"


def run(plan: RowsPlan, runner: Runner) -> RowsRecord:
    """Train and test every model on every data set with every seed; finished runs are reused."""
    keys = [(seed, data, cell) for seed in range(plan.seeds) for data in plan.data for cell in cells()]
    runs = [_run(plan, *key) for key in keys]
    outcomes = runner.run("rows or patches", runs, lambda outcome: f"{outcome.values['n_correct']}")
    return RowsRecord.of(
        plan,
        [
            RunRow(data, cell.name, seed, **outcome.values)
            for (seed, data, cell), outcome in zip(keys, outcomes, strict=True)
        ],
        {cell.name: {**asdict(cell.model), "positions": cell.positions, **_cost(cell)} for cell in cells()},
    )


def _cost(cell: Cell) -> dict[str, int]:
    counted = cost(cell.model)
    parameters = count_parameters(cell.model, cell.positions)
    return {"tokens": counted.tokens, "parameters": parameters, "multiply_adds": counted.multiply_adds}


def _run(plan: RowsPlan, seed: int, data: str, cell: Cell) -> Run:
    recipe = replace(plan.recipe, seed=seed)
    config: dict[str, Any] = {"model": asdict(cell.model), "positions": cell.positions, "recipe": asdict(recipe)}
    config |= {"data": data, "n_train": plan.n_train, "n_validation": plan.n_validation, "patience": plan.patience}
    name = f"{data}-{cell.name}-{seed}".replace(" ", "-")
    return Run(name, config, partial(_train, plan, data, cell, recipe))


def _train(plan: RowsPlan, data: str, cell: Cell, recipe: TrainingConfig) -> Outcome:
    began = time.perf_counter()
    digits = _draw(plan.data[data], plan.n_train, plan.n_validation, recipe.seed)
    task: Task = digits_task(cell.model, digits, recipe)
    trained = train(
        task if cell.positions else _WithoutPositions(task), recipe, patience=plan.patience, threads=num_threads()
    )
    tested = evaluate(digits.test, trained.params, cell.model)
    losses = [float(epoch.validation_loss or 0) for epoch in trained.history]
    return Outcome(
        {
            "n_correct": tested.n_correct,
            "n_test": len(digits.test.labels),
            "loss": tested.loss,
            "epochs": len(losses),
            "best_epoch": 1 + int(np.argmin(losses)),
            "seconds": round(time.perf_counter() - began, 1),
        }
    )


@lru_cache(maxsize=1)
def _load(folder: Path) -> Digits:
    return load_mnist(folder, n_validation=0)


def _draw(folder: Path, n_train: int, n_validation: int, seed: int) -> Digits:
    """Training and validation images drawn with this seed, and all test images."""
    every = _load(folder)
    order = np.random.default_rng([seed, 7]).permutation(len(every.train.labels))

    def take(chosen: IntArray) -> LabelledImages:
        return LabelledImages(every.train.images[chosen], every.train.labels[chosen])

    return replace(every, train=take(order[:n_train]), validation=take(order[n_train : n_train + n_validation]))


@dataclass(frozen=True)
class _WithoutPositions:
    """A task whose position embeddings are zero and stay zero."""

    task: Task

    @property
    def n_examples(self) -> int:
        return self.task.n_examples

    def init(self, rng: np.random.Generator) -> Params:
        params = self.task.init(rng)
        return params | {_POSITIONS: np.zeros_like(params[_POSITIONS])}

    def shards(self, indices: IntArray, step: int) -> Sequence[Any]:
        return self.task.shards(indices, step)

    def gradients(self, shard: Any, params: Params) -> ShardGradients:
        result = self.task.gradients(shard, params)
        gradients = {name: gradient for name, gradient in result.gradients.items() if name != _POSITIONS}
        return replace(result, gradients=gradients)

    def validate(self, params: Params) -> ValidationResult | None:
        return self.task.validate(params)

    def describe(self) -> Mapping[str, Any]:
        return {**self.task.describe(), "positions": False}


@dataclass(frozen=True)
class RunRow:
    """One run."""

    data: str
    model: str
    seed: int
    # test images classified correctly, and all of them
    n_correct: int
    n_test: int
    loss: float  # mean cross-entropy on the test images, in nats
    # epochs that were run, and the one with the lowest validation loss, whose parameters were tested
    epochs: int
    best_epoch: int
    seconds: float


@dataclass(frozen=True)
class Difference:
    """Accuracy of a model minus that of rows, seed by seed."""

    comparison: str
    data: str
    model: str
    points: Interval  # mean and 95% interval (Student) in points
    p: float  # of the exact test of the paired seeds


@dataclass(frozen=True)
class RowsRecord:
    """All runs of the study, with what is needed to repeat it."""

    rows: tuple[RunRow, ...]
    # by name: the configuration, tokens, parameters and multiply-adds of an image's forward pass
    models: Mapping[str, Mapping[str, Any]]
    # seeds, numbers of images, recipe; version, processor, library
    plan: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @classmethod
    def of(cls, plan: RowsPlan, rows: Sequence[RunRow], models: Mapping[str, Mapping[str, Any]]) -> RowsRecord:
        """The record of runs that were made on this machine."""
        settings = asdict(plan) | {"data": sorted(plan.data)}
        provenance = {"headwise": __version__, "python": platform.python_version(), "numpy": np.__version__}
        return cls(tuple(rows), models, settings, provenance | {"processor": cpu_name(), "blas": blas_name()})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> RowsRecord:
        """The record that `to_json` returned."""
        return cls(
            tuple(RunRow(**row) for row in content["rows"]), *(content[n] for n in ("models", "plan", "provenance"))
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)

    @property
    def data(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return tuple(dict.fromkeys(row.data for row in self.rows))

    @property
    def seeds(self) -> int:
        """Runs of each model on each data set."""
        return len({row.seed for row in self.rows})

    def correct(self, data: str, model: str) -> IntArray:
        """(seeds,): test images classified correctly."""
        rows = sorted((row for row in self.rows if (row.data, row.model) == (data, model)), key=lambda row: row.seed)
        return np.array([row.n_correct for row in rows])

    def differences(self) -> tuple[Difference, ...]:
        """Every model of every comparison against its rows."""
        n_test = self.rows[0].n_test
        result = []
        for comparison, (base, *others) in COMPARISONS.items():
            for data in self.data:
                for model in others:
                    extra = self.correct(data, model) - self.correct(data, base)
                    points = t_interval(100 * extra / n_test)
                    result.append(Difference(comparison, data, model, points, sign_flip_test(extra.tolist())))
        return tuple(result)


def load_record() -> RowsRecord:
    """The recorded study that comes with the package."""
    text = files("headwise.coursework.rows_or_patches").joinpath("record.json").read_text(encoding="utf-8")
    return RowsRecord.from_json(json.loads(text))
