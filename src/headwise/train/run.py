"""Training a vision transformer into a folder: resumed if it was interrupted, kept if it is finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headwise import __version__
from headwise.data.mnist import Digits, LabelledImages
from headwise.errors import DataError
from headwise.files import to_csv, write_text
from headwise.hashing import fingerprint
from headwise.models.vit import ViTConfig
from headwise.nn.params import Params
from headwise.train.checkpoint import load_vit, save_vit
from headwise.train.config import TrainingConfig
from headwise.train.digits import evaluate, train_vit
from headwise.train.loop import Epoch
from headwise.validation import check_counts

__all__ = ["TrainingRun", "train_into"]

MODEL, STATE, HISTORY = "model.safetensors", "training.safetensors", "history.csv"


@dataclass(frozen=True)
class TrainingRun:
    """A trained model with how it came about and how well it does.

    Attributes
    ----------
    model, recipe : ViT, Recipe
    params : dict
    history : tuple of Epoch
    data : str
        What it was trained on.
    n_train, n_test : int
        Number of training and test images.
    n_correct : int
        Test images classified correctly.
    test_loss : float
        Mean cross-entropy on the test images, in nats.
    path : Path
        Its weights.
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
        """Share of the test images read correctly."""
        return self.n_correct / self.n_test

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the accuracy."""
        from scipy.stats import binomtest

        found = binomtest(self.n_correct, self.n_test).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)


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
    """Train into a folder: ``model.safetensors`` and ``history.csv``, and while it lasts ``training.safetensors``.

    Parameters
    ----------
    folder : Path
    data : Digits
    config, recipe : ViT, Recipe, optional
        The standard ones by default.
    test : Labelled, optional
        Images to test on instead of the data's own.
    resume : bool
        Go on with an interrupted run in this folder; it ends with the same bytes as one that was not interrupted.
    keep : bool
        Take a finished run of the same model, recipe and data as it is.
    threads : int
        Threads; the result does not depend on how many.
    on_step, on_epoch : callable
        Called after each step and each epoch.

    Returns
    -------
    Run

    Raises
    ------
    DataError
        If the folder holds a run already and neither `resume` nor `keep` applies, or what is there to go on with was
        another run, or one on other digits.
    """
    check_counts(workers=threads)
    config, recipe = config or ViTConfig(), recipe or TrainingConfig()
    judged_on = test or data.test
    state, finished = folder / STATE, folder / MODEL
    about = {
        "recipe": asdict(recipe),
        "data": data.name,
        "n_train": len(data.train.labels),
        "n_test": len(judged_on.labels),
        "digits": fingerprint(*data.train, *data.validation, *judged_on),
        "headwise": __version__,
    }
    if keep and finished.exists() and not state.exists():
        saved = load_vit(finished)
        if saved.config == config and {name: saved.metadata.get(name) for name in about} == about:
            return _run(saved.params, config, recipe, saved.metadata, finished)
    elif not resume and not keep and (finished.exists() or state.exists()):
        raise DataError(
            f"{folder}: holds a run already. Go on with an interrupted one by --resume, or name another folder."
        )
    elif resume and finished.exists() and not state.exists():
        raise DataError(f"{folder}: its run is finished; there is nothing to resume.")
    trained = train_vit(config, data, recipe, state=state, threads=threads, on_step=on_step, on_epoch=on_epoch)
    judged = evaluate(judged_on, trained.params, config)
    complete = {
        **about,
        "n_correct": judged.n_correct,
        "test_loss": judged.loss,
        "history": [epoch._asdict() for epoch in trained.history],
    }
    write_text(folder / HISTORY, to_csv(Epoch._fields, trained.history))
    save_vit(finished, config, trained.params, complete)
    state.unlink(missing_ok=True)  # last: until now a kill loses nothing
    return _run(trained.params, config, recipe, complete, finished)


def _run(params: Params, model: ViTConfig, recipe: TrainingConfig, about: dict[str, Any], path: Path) -> TrainingRun:
    return TrainingRun(
        model,
        recipe,
        params,
        tuple(Epoch(**row) for row in about["history"]),
        about["data"],
        about["n_train"],
        about["n_test"],
        about["n_correct"],
        about["test_loss"],
        path,
    )
