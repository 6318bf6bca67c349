"""How well a series transformer reads series, with and without pre-training, beside baselines on the same split.

Source: Zerveas et al., "A Transformer-based Framework for Multivariate Time Series Representation Learning", arXiv
2010.02803 (2021), section 4.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headwise.data.series import SeriesData, standardize
from headwise.errors import CheckpointError, DataError
from headwise.experiments.results_cache import cached_result, is_cached, run_file, runs_table
from headwise.experiments.series.baselines import BASELINES
from headwise.files import write_text
from headwise.hashing import fingerprint
from headwise.models.series import SeriesTransformerConfig
from headwise.nn.params import Params
from headwise.parallel.tasks import run_tasks
from headwise.parallel.threads import single_threaded_blas
from headwise.progress import NoProgress, Progress
from headwise.shapes import Array
from headwise.train.checkpoint import load_arrays, save_arrays
from headwise.train.config import TrainingConfig
from headwise.train.loop import Task, TrainingResult, train
from headwise.train.series import MaskedPredictionTask, evaluate_series, series_task
from headwise.validation import check_counts

__all__ = ["METHOD_LABELS", "Plan", "Result", "SeriesRun", "compare_series", "weights_of"]

METHOD_LABELS = {
    "transformer": "transformer",
    "pre-trained": "transformer, pre-trained",
    **{key: baseline.name for key, baseline in BASELINES.items()},
}
RESULTS = "results.csv"

_TRAINING = TrainingConfig(
    epochs=60, batch_size=32, learning_rate=3e-3, max_grad_norm=4.0, max_shift=0.0, max_rotation=0.0
)
_PRETRAINING = replace(_TRAINING, epochs=200)


@dataclass(frozen=True)
class Plan:
    """What is run. The defaults were chosen on held-out training series, as docs/series.md tells.

    Attributes
    ----------
    seeds : int
        Runs of each method that has anything random in it; with fewer than six the exact test has no verdict.
    pretrain, baselines : bool
        Whether to run these too.
    d_model, n_layers, n_heads, d_ff, dropout
        As of `SeriesTransformerConfig`.
    recipe, pretraining : Recipe
        Of the training for classes, and of the pre-training; the seed is each run's own.
    """

    seeds: int = 6
    pretrain: bool = True
    baselines: bool = True
    d_model: int = 64
    n_layers: int = 3
    n_heads: int = 8
    d_ff: int = 256
    dropout: float = 0.3
    recipe: TrainingConfig = _TRAINING
    pretraining: TrainingConfig = _PRETRAINING

    def __post_init__(self) -> None:
        check_counts(seeds=self.seeds)

    def model(self, data: SeriesData) -> SeriesTransformerConfig:
        """For this set; as long as its longest series."""
        made = {name: getattr(self, name) for name in ("d_model", "n_layers", "n_heads", "d_ff", "dropout")}
        return SeriesTransformerConfig(data.variables, data.steps, len(data.classes), **made)

    def runs(self) -> list[tuple[str, int]]:
        """Each method with each of its seeds, the quickest first."""
        methods = list(BASELINES) * self.baselines + ["transformer"] + ["pre-trained"] * self.pretrain
        once = [name for name, one in BASELINES.items() if not one.random]
        return [(name, seed) for name in methods for seed in range(1 if name in once else self.seeds)]


@dataclass(frozen=True)
class SeriesRun:
    """One run of one method.

    Attributes
    ----------
    method : str
        A key of `METHOD_LABELS`.
    seed : int
    right, judged : int
        Series whose class it got right, and all that it was judged by.
    losses, imputing : tuple of float
        Training loss epoch by epoch, for the classes and before that for the hidden values; empty where there was none.
    """

    method: str
    seed: int
    right: int
    judged: int
    losses: tuple[float, ...] = ()
    imputing: tuple[float, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share that it got right."""
        return self.right / self.judged


@dataclass(frozen=True)
class Result:
    """All runs of a plan on a set, and where they are kept."""

    data: SeriesData
    plan: Plan
    rows: tuple[SeriesRun, ...]
    folder: Path

    def of(self, method: str) -> list[SeriesRun]:
        """One method's runs, by seed."""
        return [row for row in self.rows if row.method == method]

    @property
    def accuracies(self) -> dict[str, Array]:
        """By method, in the order of the seeds."""
        return {name: np.array([row.accuracy for row in self.of(name)]) for name in METHOD_LABELS if self.of(name)}


def compare_series(
    data: SeriesData,
    folder: Path,
    plan: Plan | None = None,
    progress: Progress | None = None,
    *,
    workers: int = 1,
) -> Result:
    """Run every method with every seed; what is finished is kept, and what was interrupted goes on.

    Parameters
    ----------
    data : SeriesData
        As it was read; the transformer sees it standardised by its training series.
    folder : Path
        For ``runs/``, each run in files of its own, and ``results.csv``, a row for each ever finished there, whatever
        its plan.
    plan : Plan, optional
    progress : Progress, optional
    workers : int
        Processes on this machine; with more than one, independent runs are tasks on Dask.

    Returns
    -------
    Result

    Raises
    ------
    DataError
        If the set has no classes, or the folder is a file.
    MissingExtraError
        If baselines are wanted and aeon is not installed.
    """
    plan, progress = plan or Plan(), progress or NoProgress()
    if not data.classes:
        raise DataError(
            f"{data.name}: its labels are numbers to predict, and this study compares classifiers. If they "
            "name classes, save them as whole numbers or words."
        )
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; name a folder.")
    plan.model(data)  # refuses what cannot be built, before anything is written
    runs = plan.runs()
    made = {f"{method}-{seed}": _Run(method, seed, data, plan, folder / "runs") for method, seed in runs}
    found: dict[str, SeriesRun] = {}
    progress.stage(data.name, len(runs))

    def keep(name: str, row: SeriesRun) -> None:
        found[name] = row
        write_text(folder / RESULTS, runs_table(folder / "runs"))
        progress.advance(f"{METHOD_LABELS[row.method]}, seed {row.seed}: {row.accuracy:.1%}")

    missing = {name: run.row for name, run in made.items() if not run.is_kept}
    for name in (name for name in made if name not in missing):
        keep(name, made[name].row())
    if missing:
        for name, row in run_tasks(missing, workers=workers):
            keep(name, row)
    return Result(data, plan, tuple(found[name] for name in made), folder)


def weights_of(result: Result, method: str, seed: int = 0) -> Params:
    """What a run of the transformer learnt."""
    return load_arrays(_Run(method, seed, result.data, result.plan, result.folder / "runs").weights)[0]


@dataclass(frozen=True)
class _Run:
    """One run of a plan, kept on disk; how many other runs there are makes no difference to it."""

    method: str
    seed: int
    data: SeriesData
    plan: Plan
    folder: Path

    @property
    def is_kept(self) -> bool:
        """Whether it is finished, and nothing of it was lost or damaged since."""
        if not is_cached(self._path, self._made_of):
            return False
        try:
            return self.method in BASELINES or bool(load_arrays(self.weights)[0])
        except (DataError, CheckpointError):
            return False

    @property
    def weights(self) -> Path:
        """Where those are that it learns, if it learns any."""
        return self._path.with_suffix(".safetensors")

    def row(self) -> SeriesRun:
        """What the run gave before, or gives now."""
        if not self.is_kept:
            self._path.unlink(missing_ok=True)  # its weights may be what was lost
        stem = self._path.with_suffix("")
        found = cached_result(
            self._path, self._made_of, lambda: _run(self.method, self.seed, self.data, self.plan, stem)
        )
        return SeriesRun(self.method, self.seed, **{name: value for name, value in found.items() if name != "accuracy"})

    @property
    def _path(self) -> Path:
        return run_file(self.folder, f"{self.method}-{self.seed}", self._made_of)

    @cached_property
    def _made_of(self) -> dict[str, Any]:
        data = {"data": self.data.name, "fingerprint": fingerprint(*self.data.train, *self.data.test)}
        settings = {} if self.method in BASELINES else asdict(self.plan)
        other = {"seeds", "pretrain", "baselines"} | ({"pretraining"} if self.method == "transformer" else set())
        return {
            "method": self.method,
            "seed": self.seed,
            **data,
            **{name: value for name, value in settings.items() if name not in other},
        }


def _run(method: str, seed: int, data: SeriesData, plan: Plan, stem: Path) -> dict[str, Any]:
    judged = len(data.test.labels)
    if method in BASELINES:
        with single_threaded_blas():  # the same sums in the same order, wherever it runs
            found = BASELINES[method].classify(data, seed)
        right = int((found == data.test.labels).sum())
        return {"right": right, "judged": judged, "accuracy": right / judged}
    scaled, model = standardize(data), plan.model(data)
    states = [stem.with_name(f"{stem.name}-{stage}.safetensors") for stage in ("imputing", "classes")]
    start: Params | None = None
    imputing: tuple[float, ...] = ()
    if method == "pre-trained":
        recipe = replace(plan.pretraining, seed=seed)
        learnt = _train(MaskedPredictionTask(model, scaled.train, recipe), recipe, states[0])
        start, imputing = learnt.params, tuple(epoch.train_loss for epoch in learnt.history)
    recipe = replace(plan.recipe, seed=seed)
    learnt = _train(series_task(model, scaled.train, recipe, initial_params=start), recipe, states[1])
    right = evaluate_series(scaled.test, learnt.params, model).n_correct
    about = {"kind": "series", "model": asdict(model), "data": data.name, "classes": data.classes}
    save_arrays(stem.with_name(f"{stem.name}.safetensors"), learnt.params, about)
    for state in states:
        state.unlink(missing_ok=True)
    losses = tuple(epoch.train_loss for epoch in learnt.history)
    return {"right": right, "judged": judged, "accuracy": right / judged, "losses": losses, "imputing": imputing}


def _train(task: Task, recipe: TrainingConfig, state: Path) -> TrainingResult:
    """Go on from the state of a run that was interrupted; from the beginning if that is damaged."""
    try:
        return train(task, recipe, state=state, threads=1)
    except CheckpointError:
        state.unlink()
        return train(task, recipe, state=state, threads=1)
