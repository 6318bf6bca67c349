"""The plan of the time-series experiment, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from headwise.data.series import SeriesData
from headwise.errors import DataError
from headwise.experiments.series.baselines import BASELINES
from headwise.models.series import SeriesTransformerConfig
from headwise.nn.params import Params
from headwise.shapes import Array
from headwise.train.config import TrainingConfig
from headwise.validation import check_counts

METHOD_LABELS = {
    "transformer": "transformer",
    "pre-trained": "transformer, pre-trained",
    **{key: baseline.label for key, baseline in BASELINES.items()},
}

_TRAINING = TrainingConfig(
    epochs=60, batch_size=32, learning_rate=3e-3, max_grad_norm=4.0, max_shift=0.0, max_rotation=0.0
)
_PRETRAINING = replace(_TRAINING, epochs=200)


@dataclass(frozen=True)
class SeriesPlan:
    """What is trained. The defaults were chosen on held-out training series (docs/series.md).

    Raises DataError if the data has no classes, or a number is out of range.
    """

    data: SeriesData  # as read; the transformer receives it standardized by its training series
    seeds: int = 6  # runs of each random method; with fewer than six the exact test cannot show a difference
    # whether to run these too
    pretrain: bool = True
    baselines: bool = True
    # as in `SeriesTransformerConfig`
    d_model: int = 64
    n_layers: int = 3
    n_heads: int = 8
    d_ff: int = 256
    dropout: float = 0.3
    # for the classes, and for pre-training; every run sets its own seed
    recipe: TrainingConfig = _TRAINING
    pretraining: TrainingConfig = _PRETRAINING

    def __post_init__(self) -> None:
        check_counts(seeds=self.seeds)
        if not self.data.classes:
            raise DataError(
                f"{self.data.name}: its labels are numbers to predict, and this experiment compares classifiers. If "
                "they name classes, save them as whole numbers or words."
            )
        _ = self.model  # raises if it cannot be built

    @property
    def model(self) -> SeriesTransformerConfig:
        """For this data, with one position for each step of its longest series."""
        sizes = {name: getattr(self, name) for name in ("d_model", "n_layers", "n_heads", "d_ff", "dropout")}
        return SeriesTransformerConfig(self.data.variables, self.data.steps, len(self.data.classes), **sizes)

    def runs(self) -> list[tuple[str, int]]:
        """Every method with each of its seeds, the fastest first."""
        methods = list(BASELINES) * self.baselines + ["transformer"] + ["pre-trained"] * self.pretrain
        deterministic = [name for name, baseline in BASELINES.items() if not baseline.random]
        return [(name, seed) for name in methods for seed in range(1 if name in deterministic else self.seeds)]


@dataclass(frozen=True)
class SeriesRun:
    """One run of one method."""

    method: str  # a key of `METHOD_LABELS`
    seed: int
    # test series classified correctly, and all of them
    n_correct: int
    n_test: int
    # training loss by epoch, for the classes and of pre-training; empty if there was none
    losses: tuple[float, ...] = ()
    pretraining_losses: tuple[float, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of test series classified correctly."""
        return self.n_correct / self.n_test


@dataclass(frozen=True)
class SeriesResult:
    """All runs of a plan."""

    plan: SeriesPlan
    runs: tuple[SeriesRun, ...]
    params: Mapping[str, Params] = field(default_factory=dict)  # by method: the transformer of seed 0

    @property
    def data(self) -> SeriesData:
        """The plan's data."""
        return self.plan.data

    def of(self, method: str) -> list[SeriesRun]:
        """The runs of one method, by seed."""
        return [run for run in self.runs if run.method == method]

    @property
    def accuracies(self) -> dict[str, Array]:
        """By method, in the order of the seeds."""
        return {name: np.array([run.accuracy for run in self.of(name)]) for name in METHOD_LABELS if self.of(name)}

    def to_json(self) -> dict[str, Any]:
        """The accuracies by method, as JSON can hold them."""
        accuracies = {METHOD_LABELS[method]: values.tolist() for method, values in self.accuracies.items()}
        return {"data": self.data.name, "n_test": len(self.data.test.labels), "accuracies": accuracies}
