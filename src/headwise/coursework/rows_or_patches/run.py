"""Train every model of the study until the validation loss no longer improves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from headwise.coursework.rows_or_patches.plan import Cell, RowsPlan, cells, count_parameters
from headwise.coursework.rows_or_patches.record import RowsRecord, RunRow
from headwise.data.mnist import Digits, LabelledImages, load_mnist
from headwise.experiments import Outcome, Run, Runner
from headwise.experiments.tokenizers.costs import cost
from headwise.nn.params import Params
from headwise.parallel.threads import num_threads
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
