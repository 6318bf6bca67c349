"""One run, and where finished runs are kept: a row each in a table for people, its arrays in a file beside."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headwise.data.mnist import Digits, LabelledImages
from headwise.errors import CheckpointError, DataError
from headwise.experiments.tokenizers.plan import Job, held_out_images
from headwise.files import to_csv, write_text
from headwise.hashing import fingerprint
from headwise.parallel.tasks import run_tasks
from headwise.parallel.threads import num_threads as cores
from headwise.shapes import Array, IntArray
from headwise.train.checkpoint import load_arrays, save_arrays
from headwise.train.digits import evaluate, train_vit

__all__ = ["DIRECTIONS", "SHIFTS", "Run", "RunStore", "results", "run", "shifted"]

SHIFTS = (1, 2, 3, 4)  # pixels
DIRECTIONS = {"right": (0, 1), "down": (1, 0)}
_COLUMNS = (
    *("run", "tokenizer", "size", "seed", "right", "tested", "accuracy", "loss", "train_loss", "seconds"),
    *(
        "epochs",
        "batch_size",
        "learning_rate",
        "d_model",
        "n_layers",
        "n_heads",
        "d_ff",
        "parameters",
        "data",
        "version",
    ),
)
_ARRAYS = {"predictions", "positions", "moved"}
_MOVE = "Move it away, and its runs are run again; or name another folder."


@dataclass(frozen=True)
class Run:
    """What one run found.

    Attributes
    ----------
    job : Job
    right, tested : int
        Digits read correctly, of those not trained on.
    loss, train_loss : float
        Mean cross-entropy in nats on these, and in the last epoch of training.
    parameters : int
    seconds : float
        That it took, where it ran.
    predictions : ndarray of shape (tested,)
        The class that each digit was taken for.
    positions : ndarray of shape (N, D)
        The learned position embeddings, without the class token's.
    moved : ndarray of int of shape (directions, shifts)
        Digits read correctly when all are moved by so many pixels.
    """

    job: Job
    right: int
    tested: int
    loss: float
    train_loss: float
    parameters: int
    seconds: float
    predictions: IntArray
    positions: Array
    moved: IntArray


def run(job: Job, digits: Digits, *, threads: int = 1) -> Run:
    """Train and judge; the same bytes wherever it runs, and on however many threads.

    Raises
    ------
    DataError
        If these are not the job's digits.
    """
    if fingerprint(*digits.train, *digits.validation, *digits.test) != job.digest:
        raise DataError(f"digits: expected {job.data} as the comparison began with; this machine has others.")
    began = time.perf_counter()
    chosen = np.random.default_rng([job.recipe.seed, 4]).permutation(len(digits.train.labels))[: job.size]
    train = LabelledImages(digits.train.images[chosen], digits.train.labels[chosen])
    nothing = LabelledImages(digits.train.images[:0], digits.train.labels[:0])
    trained = train_vit(job.model, replace(digits, train=train, validation=nothing), job.recipe, threads=threads)
    judged_on = held_out_images(digits)
    judged = evaluate(judged_on, trained.params, job.model)
    moved = [
        [evaluate(_moved(judged_on, pixels, along), trained.params, job.model).n_correct for pixels in SHIFTS]
        for along in DIRECTIONS.values()
    ]
    return Run(
        job,
        judged.n_correct,
        len(judged_on.labels),
        judged.loss,
        trained.history[-1].train_loss,
        sum(array.size for array in trained.params.values()),
        time.perf_counter() - began,
        judged.probabilities.argmax(axis=1).astype(np.uint8),
        trained.params["embedding.positions"][1:],
        np.array(moved),
    )


def results(
    jobs: Sequence[Job], load: Callable[[], Digits], *, workers: int = 1, scheduler: str | None = None
) -> Iterator[Run]:
    """Run the jobs, here or on Dask's workers, and give out what each found as soon as it is there, in any order.

    Parameters
    ----------
    jobs : sequence of Job
    load : callable
        Reads the digits; called where a run is computed, so that no worker depends on another's memory.
    workers : int
        Processes on this machine, of one thread each; with 1, this process alone and all its cores.
    scheduler : str, optional
        As in `headwise.parallel.tasks.run_tasks`, which says what is raised.

    Yields
    ------
    Run
    """
    if scheduler is None and workers == 1:
        digits, threads = load(), cores()
        tasks = {job.identity: partial(run, job, digits, threads=threads) for job in jobs}
    else:
        tasks = {job.identity: partial(_attempt, job, load) for job in jobs}
    for _, found in run_tasks(tasks, workers=workers, scheduler=scheduler):
        yield found


def _attempt(job: Job, load: Callable[[], Digits]) -> Run:
    return run(job, load())


def shifted(images: Array, down: int, right: int) -> Array:
    """(B, Y, X) images moved by whole pixels; what leaves is lost, what enters is background.

    Examples
    --------
    >>> shifted(np.arange(6.0).reshape(1, 2, 3), 0, 1)
    array([[[0., 0., 1.],
            [0., 3., 4.]]])
    """
    height, width = images.shape[1:]
    result = np.zeros_like(images)
    result[:, down:, right:] = images[:, : height - down, : width - right]
    return result


class RunStore:
    """The finished runs in a folder: ``runs.csv``, and ``runs/`` with an array file for each row.

    Rows of another configuration, or another version, stay where they are and are never taken for what they are not:
    a run is known by a digest of all that it depends on.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{folder} is a file; name a folder.")
        self.table = folder / "runs.csv"
        self._arrays = folder / "runs"
        self._rows()  # refused before anything is trained

    def find(self, job: Job) -> Run | None:
        """What this very job found before, if it was run."""
        row = self._rows().get(job.identity)
        try:
            arrays, made_of = load_arrays(self._file(job))
        except (DataError, CheckpointError):
            return None  # killed between the two files, or damaged: it is run again
        if row is None or made_of != job.configuration or arrays.keys() != _ARRAYS:
            return None
        known: dict[str, Any] = {**_numbers(row), **arrays}
        return Run(job, **known)

    def keep(self, found: Run) -> None:
        """Write it down; a kill leaves the files as they were before or as they are after."""
        arrays: dict[str, Any] = {name: getattr(found, name) for name in sorted(_ARRAYS)}
        save_arrays(self._file(found.job), arrays, found.job.configuration)
        rows = self._rows() | {found.job.identity: {name: str(value) for name, value in _row(found).items()}}
        ordered = sorted(rows.values(), key=lambda row: (row["tokenizer"], int(row["size"]), int(row["seed"])))
        write_text(self.table, to_csv(_COLUMNS, ([row[name] for name in _COLUMNS] for row in ordered)))

    def others(self, jobs: Iterable[Job]) -> int:
        """Rows that belong to none of these jobs."""
        return len(self._rows().keys() - {job.identity for job in jobs})

    def _file(self, job: Job) -> Path:
        cut = job.model.tokenizer.replace("/", "-every-")
        return self._arrays / f"{cut}-{job.size}-{job.recipe.seed}-{job.identity}.safetensors"

    def _rows(self) -> dict[str, dict[str, str]]:
        if not self.table.exists() or not self.table.stat().st_size:  # lost: the runs are run again
            return {}
        try:
            with self.table.open(encoding="utf-8-sig", newline="") as lines:  # spreadsheets begin it with a mark
                reader = csv.DictReader(lines)
                rows = list(reader)
        except (UnicodeDecodeError, csv.Error):
            raise DataError(f"{self.table}: not a table of runs: it is no CSV in UTF-8. {_MOVE}") from None
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise DataError(f"{self.table}: not a table of runs: its columns are others. Name another folder.")
        for number, row in enumerate(rows, 2):
            try:
                _numbers(row)
            except (TypeError, ValueError):
                raise DataError(
                    f"{self.table}, line {number}: not a row of {len(_COLUMNS)} values as it was written. Was it "
                    f"edited? {_MOVE}"
                ) from None
        return {row["run"]: row for row in rows}


def _numbers(row: dict[str, str]) -> dict[str, Any]:
    """What a row of the table says a run found; an error if that are no numbers."""
    if None in row or None in row.values():
        raise ValueError("too few values, or too many")
    whole = {name: int(row[name]) for name in ("right", "tested", "parameters", "size", "seed")}
    broken = {name: float(row[name]) for name in ("loss", "train_loss", "seconds")}
    if not 0 <= whole["right"] <= whole["tested"]:
        raise ValueError("more right than there are")
    return {name: value for name, value in {**whole, **broken}.items() if name not in ("size", "seed")}


def _row(found: Run) -> dict[str, Any]:
    job = found.job
    values = {**asdict(job.model), **asdict(job.recipe), **vars(job), **vars(found)}
    values |= {"run": job.identity, "accuracy": found.right / found.tested, "seconds": round(found.seconds, 3)}
    return {name: values[name] for name in _COLUMNS}


def _moved(data: LabelledImages, pixels: int, along: tuple[int, int]) -> LabelledImages:
    return LabelledImages(shifted(data.images, pixels * along[0], pixels * along[1]), data.labels)
