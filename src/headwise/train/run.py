"""Training a vision transformer into a folder, resumable, with its history and test results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headwise import __version__
from headwise.data.mnist import Digits, LabelledImages
from headwise.errors import DataError
from headwise.files import lock_folder, to_csv, write_text
from headwise.hashing import fingerprint
from headwise.models.vit import ViTConfig
from headwise.nn.params import Params
from headwise.train.checkpoint import load_vit, save_vit
from headwise.train.config import TrainingConfig
from headwise.train.digits import evaluate, train_vit
from headwise.train.loop import Epoch
from headwise.validation import check_counts

MODEL, STATE, HISTORY = "model.safetensors", "training.safetensors", "history.csv"


@dataclass(frozen=True)
class TrainingRun:
    """A trained model with its configuration, history and test results.

    Attributes
    ----------
    config, recipe : ViTConfig, TrainingConfig
    params : dict
    history : tuple of Epoch
    data : str
        Name of the training data.
    n_train, n_test : int
        Number of training and test images.
    n_correct : int
        Test images classified correctly.
    test_loss : float
        Mean cross-entropy on the test images, in nats.
    path : Path
        The file of its parameters.
    """

    config: ViTConfig
    recipe: TrainingConfig
    params: Params
    history: tuple[Epoch, ...]
    data: str
    n_train: int
    n_test: int
    n_correct: int
    test_loss: float
    path: Path

    @property
    def accuracy(self) -> float:
        """Fraction of test images classified correctly."""
        return self.n_correct / self.n_test

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the accuracy."""
        from scipy.stats import binomtest

        interval = binomtest(self.n_correct, self.n_test).proportion_ci(0.95, method="wilson")
        return float(interval.low), float(interval.high)


def train_into(
    folder: Path,
    data: Digits,
    *,
    config: ViTConfig | None = None,
    recipe: TrainingConfig | None = None,
    test: LabelledImages | None = None,
    resume: bool = False,
    keep: bool = False,
    threads: int = 2,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> TrainingRun:
    """Train and write ``model.safetensors`` and ``history.csv``, and until the end ``training.safetensors``.

    Parameters
    ----------
    folder : Path
    data : Digits
    config, recipe : ViTConfig, TrainingConfig, optional
        By default those of the shipped models.
    test : LabelledImages, optional
        Images to test on instead of the data's own.
    resume : bool
        Resume an interrupted run in this folder; the result has the same bytes as that of an uninterrupted run.
    keep : bool
        Return a finished run of the same model, recipe and data without training.
    threads : int
        Threads; the result does not depend on how many.
    on_step, on_epoch : callable
        Called after each step and each epoch.

    Raises
    ------
    DataError
        If the folder contains a run and neither `resume` nor `keep` applies, the run to resume is another one, or
        another process is writing to the folder.
    """
    check_counts(workers=threads)
    config, recipe, test = config or ViTConfig(), recipe or TrainingConfig(), test or data.test
    state, finished = folder / STATE, folder / MODEL
    about = {
        "recipe": asdict(recipe),
        "data": data.name,
        "n_train": len(data.train.labels),
        "n_test": len(test.labels),
        "digits": fingerprint(*data.train, *data.validation, *test),
        "headwise": __version__,
    }
    with lock_folder(folder):
        if keep and finished.exists() and not state.exists():
            saved = load_vit(finished)
            if saved.config == config and {name: saved.metadata.get(name) for name in about} == about:
                return _run(saved.params, config, recipe, saved.metadata, finished)
        elif not resume and not keep and (finished.exists() or state.exists()):
            raise DataError(f"{folder}: contains a run. Resume it with --resume, or choose another folder.")
        elif resume and finished.exists() and not state.exists():
            raise DataError(f"{folder}: the run is finished; there is nothing to resume.")
        result = train_vit(config, data, recipe, state=state, threads=threads, on_step=on_step, on_epoch=on_epoch)
        evaluation = evaluate(test, result.params, config)
        history = [epoch._asdict() for epoch in result.history]
        complete = {**about, "n_correct": evaluation.n_correct, "test_loss": evaluation.loss, "history": history}
        write_text(folder / HISTORY, to_csv(Epoch._fields, result.history))
        save_vit(finished, config, result.params, complete)
        state.unlink(missing_ok=True)  # last, so that a kill before this loses nothing
    return _run(result.params, config, recipe, complete, finished)


def _run(params: Params, config: ViTConfig, recipe: TrainingConfig, about: dict[str, Any], path: Path) -> TrainingRun:
    results = {name: about[name] for name in ("data", "n_train", "n_test", "n_correct", "test_loss")}
    return TrainingRun(config, recipe, params, tuple(Epoch(**row) for row in about["history"]), **results, path=path)
