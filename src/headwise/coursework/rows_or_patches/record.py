"""The record of the study: one row for each run, how it was made, and the differences from rows."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from headwise import __version__
from headwise.coursework.rows_or_patches.plan import COMPARISONS, RowsPlan
from headwise.experiments.statistics import Interval, sign_flip_test, t_interval
from headwise.runtime import blas_name, cpu_name
from headwise.shapes import IntArray


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
