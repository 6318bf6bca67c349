"""The recorded long study of rows and patches, next to the report's own short comparison.

`benchmarks/rows_or_patches.py` made the record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from headwise.document import Derivation, Paragraph, Section, Step, Table
from headwise.experiments.statistics import Interval, min_attainable_p, sign_flip_test, t_interval
from headwise.shapes import IntArray
from headwise.text import Statement, join_with_and

# what is compared with rows, under the same name for every data set
COMPARISONS = {
    "equal tokens": ("rows", "4x7"),
    "equal parameters": ("rows", "7x7", "4x4"),
    "equal compute": ("rows", "7x7 wide", "4x4 narrow"),
    "equal parameters, no positions": ("rows unplaced", "7x7 unplaced", "4x4 unplaced"),
    "equal tokens, no positions": ("rows unplaced", "4x7 unplaced"),
}


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
    text = files("headwise.coursework.report.vision").joinpath("rows_or_patches.json").read_text(encoding="utf-8")
    content = json.loads(text)
    return RowsRecord(tuple(RunRow(**row) for row in content.pop("rows")), **content)


def recorded_section() -> Section:
    """What was run, the accuracies, the differences from rows, and which of them survive."""
    record = load_record()
    introduction = Paragraph(_setup(record), _converged(record), _provenance(record))
    survivors = Derivation(*map(Step, conclusion(record)))
    blocks = (introduction, _accuracies(record), _differences(record), Paragraph(_criterion(record)), survivors)
    return Section("cuts-recorded", "The long study, recorded", blocks)


def conclusion(record: RowsRecord) -> tuple[Statement, ...]:
    """For each comparison, the models whose difference from rows is shown on every data set, or on some."""
    statements = []
    for comparison in dict.fromkeys(item.comparison for item in record.differences()):
        rows = [item for item in record.differences() if item.comparison == comparison]
        models = dict.fromkeys(item.model for item in rows)
        texts = [_survives([item for item in rows if item.model == model]) for model in models]
        values = {"comparison": comparison, "texts": "; ".join(texts)}
        statements.append(Statement("With {comparison}: {texts}.", values))
    return tuple(statements)


def _survives(items: list[Difference]) -> str:
    """On which data sets the interval of a model's difference from rows excludes zero."""
    model = items[0].model
    better = [item.data for item in items if (item.points.low or 0) > 0]
    worse = [item.data for item in items if (item.points.high or 0) < 0]
    unclear = [item.data for item in items if item.data not in (*better, *worse)]
    parts = [f"more accurate than rows on {join_with_and(better)}"] if better else []
    parts += [f"less accurate than rows on {join_with_and(worse)}"] if worse else []
    parts += [f"no difference shown on {join_with_and(unclear)}"] if unclear else []
    return f"{model} {', '.join(parts)}"


def _setup(record: RowsRecord) -> Statement:
    plan = record.plan
    return Statement(
        "Recorded, not run for this page: {models} models on {data}, {seeds} seeds each. A seed draws {train:,} "
        "training and {validation:,} validation images and the initial parameters; all test images are used. Training "
        "stops when the validation loss has not improved for {patience} epochs, and the best parameters are tested.",
        {
            "models": len(record.models),
            "data": join_with_and(record.data),
            "seeds": record.seeds,
            "train": plan["n_train"],
            "validation": plan["n_validation"],
            "patience": plan["patience"],
        },
    )


def _criterion(record: RowsRecord) -> Statement:
    return Statement(
        "A difference survives if its {level:.0%} interval over the {seeds} seeds excludes zero; the exact test of the "
        "same differences cannot give a p below {least:.2g} with so few.",
        {"level": 0.95, "seeds": record.seeds, "least": min_attainable_p(record.seeds)},
    )


def _converged(record: RowsRecord) -> Statement:
    limit = record.plan["recipe"]["epochs"]
    stopped = sum(row.epochs < limit for row in record.rows)
    return Statement(
        ("All {runs} runs stopped" if stopped == len(record.rows) else "{stopped} of {runs} runs stopped")
        + " that way, before the {limit} epochs that they could have taken. “Unplaced” models have no "
        "position embeddings; “wide” and “narrow” ones have the width with which an image costs as many multiply-adds "
        "as in the model of rows.",
        {"stopped": stopped, "runs": len(record.rows), "limit": limit},
    )


def _provenance(record: RowsRecord) -> Statement:
    return Statement(
        "Command: {command}; version {headwise}, NumPy {numpy}, {processor}, {hours:.1f} hours of one core.",
        {
            **record.provenance,
            "command": f"python benchmarks/rows_or_patches.py MNIST FASHION --seeds {record.seeds}",
            "hours": sum(row.seconds for row in record.rows) / 3600,
        },
    )


def _accuracies(record: RowsRecord) -> Table:
    rows = []
    for name, model in record.models.items():
        means = [f"{record.correct(data, name).mean() / record.rows[0].n_test:.1%}" for data in record.data]
        sizes = (f"{model['tokens']}", f"{model['parameters']:,}", f"{model['multiply_adds']:,}")
        rows.append((name, *sizes, *means))
    columns = ("model", "tokens", "parameters", "multiply-adds", *record.data)
    return Table(
        Statement("Recorded: models, costs and mean test accuracy."), columns, tuple(rows), "recorded-accuracy"
    )


def _differences(record: RowsRecord) -> Table:
    rows = []
    for item in record.differences():
        points = f"{item.points.mean:+.2f} ({item.points.ends('{:+.2f}')})"
        rows.append((f"{item.comparison}: {item.model}", item.data, points, f"{item.p:.2g}"))
    return Table(
        Statement("Recorded: accuracy minus that of rows in points, with Student's interval, and p of the exact test."),
        ("comparison and model", "data", "points", "p"),
        tuple(rows),
        "recorded-differences",
    )
