"""The training loop, of any model: shards over threads, sums in a fixed order, a checkpoint an epoch.

What is trained is a `Task`. Every random number is drawn from a generator seeded by (seed, epoch) or (seed, step), so a
run that was interrupted goes on from its last checkpoint exactly as if it had not been.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from headwise.errors import CheckpointError, DataError
from headwise.nn.params import Params, flatten, unflatten
from headwise.parallel.threads import limit_threads, parallel_map, single_threaded_blas
from headwise.shapes import Array, IntArray
from headwise.train.adamw import AdamW, adamw_step, clip_norm, weight_decay_mask
from headwise.train.checkpoint import load_arrays, save_arrays
from headwise.train.config import TrainingConfig
from headwise.train.malloc import keep_heap

__all__ = ["Epoch", "ShardGradients", "Task", "Trainer", "TrainingResult", "ValidationResult", "train"]

_TOWARDS = 0.1  # how far a running average moves in one step


@dataclass(frozen=True)
class ShardGradients:
    """What one shard adds to a step.

    Attributes
    ----------
    loss : float
        Its share of the batch's mean loss.
    gradients : dict
        Of that share, by parameter; one that is missing is zero.
    averages : dict
        What parameters that are running averages (batch normalisation's) saw in this shard; they are not trained, but
        move a little towards it.
    """

    loss: float
    gradients: Params
    averages: Params = field(default_factory=dict)


class ValidationResult(NamedTuple):
    """A model on the data held out: its loss, and its accuracy where there are classes."""

    loss: float
    accuracy: float | None = None


class Task(Protocol):
    """What is trained: a model, with the data it learns from."""

    @property
    def n_examples(self) -> int:
        """How many there are to learn from."""

    def init(self, rng: np.random.Generator) -> Params:
        """The weights to begin with."""

    def shards(self, chosen: IntArray, step: int) -> Sequence[Any]:
        """One batch of examples, in the parts that are computed together; `step` seeds whatever is random in them.

        How a batch is cut is fixed by the batch, so that the sums do not depend on how many threads ran.
        """

    def gradients(self, shard: Any, params: Params) -> ShardGradients:
        """The loss and its gradients on one shard; called from several threads."""

    def validate(self, params: Params) -> ValidationResult | None:
        """How the weights do on the data held out; None if there are none."""

    def describe(self) -> Mapping[str, Any]:
        """What tells this task from another, as JSON can hold it."""


class Epoch(NamedTuple):
    """What one pass over the training data ended with; validation is None where nothing was held out."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float | None
    validation_accuracy: float | None


class TrainingResult(NamedTuple):
    """A trained model's weights, and the course of its training."""

    params: Params
    history: tuple[Epoch, ...]


@dataclass
class Trainer:
    """A task in training: its parameters as one vector, and the optimiser's memory of them."""

    task: Task
    recipe: TrainingConfig
    total_steps: int
    like: Params = field(repr=False)
    vector: Array = field(repr=False)
    optimizer: AdamW = field(repr=False)
    history: list[Epoch] = field(default_factory=list)
    best: Array | None = field(default=None, repr=False)

    @classmethod
    def create(cls, task: Task, recipe: TrainingConfig) -> Trainer:
        """Nothing learned."""
        like = task.init(np.random.default_rng([recipe.seed, 1]))
        vector = flatten(like)
        return cls(
            task, recipe, recipe.epochs * recipe.steps_per_epoch(task.n_examples), like, vector, AdamW.zeros(vector)
        )

    @property
    def params(self) -> Params:
        """Views of the vector."""
        return unflatten(self.vector, self.like)

    def step(self, chosen: IntArray) -> float:
        """One step of AdamW on one batch; returns the loss before it."""
        params = self.params

        def one(shard: Any) -> tuple[ShardGradients, Array]:
            piece = self.task.gradients(shard, params)
            return piece, flatten({name: piece.gradients.get(name, zero) for name, zero in self._zeros.items()})

        pieces, gradients = zip(*parallel_map(one, self.task.shards(chosen, self.optimizer.steps)), strict=True)
        gradient = gradients[0]
        for other in gradients[1:]:
            gradient += other
        clip_norm(gradient, self.recipe.max_grad_norm)
        rate = self.recipe.learning_rate_at(self.optimizer.steps, self.total_steps)
        adamw_step(
            self.vector,
            gradient,
            self.optimizer,
            learning_rate=rate,
            weight_decay=self.recipe.weight_decay,
            decay_mask=self._decays,
        )
        for piece in pieces:
            for name, seen in piece.averages.items():
                params[name] += _TOWARDS / len(pieces) * (seen - params[name])
        return float(sum(piece.loss for piece in pieces))

    def epoch(self, on_step: Callable[[], None]) -> None:
        """One pass over the training data, and a look at the validation data."""
        number, recipe = len(self.history), self.recipe
        order = np.random.default_rng([recipe.seed, 2, number]).permutation(self.task.n_examples)
        losses = []
        for start in range(0, len(order), recipe.batch_size):
            chosen = order[start : start + recipe.batch_size]
            losses.append(self.step(chosen) * len(chosen))
            on_step()
        found = self.task.validate(self.params)
        loss, accuracy = (None, None) if found is None else found
        rate = recipe.learning_rate_at(self.optimizer.steps - 1, self.total_steps)
        self.history.append(Epoch(number + 1, rate, sum(losses) / len(order), loss, accuracy))
        if loss is not None and self.since_best == 0:
            self.best = self.vector.copy()

    @property
    def since_best(self) -> int:
        """Epochs since the lowest validation loss."""
        losses = [np.inf if epoch.validation_loss is None else epoch.validation_loss for epoch in self.history]
        return len(losses) - 1 - int(np.argmin(losses)) if losses else 0

    def __post_init__(self) -> None:
        self._decays = weight_decay_mask(self.like)
        self._zeros = {name: np.zeros_like(array) for name, array in self.like.items()}


def train(
    task: Task,
    recipe: TrainingConfig,
    *,
    patience: int | None = None,
    state: Path | None = None,
    threads: int = 2,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> TrainingResult:
    """Train a model.

    Parameters
    ----------
    task : Task
    recipe : Recipe
    patience : int, optional
        Stop when the validation loss has not fallen for so many epochs, and return the weights where it was lowest. By
        default all epochs are run, and the last weights returned.
    state : Path, optional
        A file that is written after every epoch, and gone on from if it is there already.
    threads : int
        Threads; the result does not depend on how many.
    on_step, on_epoch : callable
        Called after each step and each epoch; epochs done before are reported too.

    Returns
    -------
    Trained

    Raises
    ------
    DataError
        If the state is that of another task or recipe, or training diverges.
    CheckpointError
        If the state's file is damaged.
    """
    with limit_threads(threads), single_threaded_blas(), keep_heap():
        trainer = Trainer.create(task, recipe)
        what = {**task.describe(), "recipe": asdict(recipe)} if state is not None else {}
        if state is not None and state.exists():
            _restore(trainer, state, what)
        for epoch in trainer.history:
            on_epoch(epoch)
        for _ in range(trainer.optimizer.steps):
            on_step()
        while len(trainer.history) < recipe.epochs and (patience is None or trainer.since_best < patience):
            _without_diverging(trainer, on_step)
            if state is not None:
                _keep(trainer, state, what)
            on_epoch(trainer.history[-1])
        if patience is not None and trainer.best is not None:
            trainer.vector[:] = trainer.best
        return TrainingResult({name: array.copy() for name, array in trainer.params.items()}, tuple(trainer.history))


def _without_diverging(trainer: Trainer, on_step: Callable[[], None]) -> None:
    """One epoch; that the weights have grown beyond all numbers is told as what it is, wherever it shows first."""
    try:
        trainer.epoch(on_step)
        if np.isfinite(trainer.vector).all() and np.isfinite(trainer.history[-1].train_loss):
            return
    except DataError:
        if not trainer.optimizer.steps:  # with the weights it began with: not training's doing
            raise
    raise DataError(
        f"learning_rate: with {trainer.recipe.learning_rate:g} training diverged: in epoch {len(trainer.history) or 1} "
        "weights or losses "
        "were no longer finite. Choose a lower one."
    ) from None


def _keep(trainer: Trainer, path: Path, what: dict[str, Any]) -> None:
    arrays = {"vector": trainer.vector, "mean": trainer.optimizer.mean, "square": trainer.optimizer.square}
    if trainer.best is not None:
        arrays["best"] = trainer.best
    about = {
        "kind": "training",
        "what": what,
        "steps": trainer.optimizer.steps,
        "history": [epoch._asdict() for epoch in trainer.history],
    }
    save_arrays(path, arrays, about)


def _restore(trainer: Trainer, path: Path, what: dict[str, Any]) -> None:
    arrays, about = load_arrays(path)
    if about.get("kind") != "training" or not {"vector", "mean", "square"} <= arrays.keys():
        raise CheckpointError(f"{path}: not the state of an interrupted run. Remove it to begin anew.")
    found = about["what"]
    # through JSON, as the file went: tuples became lists
    if found != _as_json(what):
        changed = [name for name, value in _as_json(what).items() if found.get(name) != value]
        raise DataError(f"{path}: the run to go on with was another: it differs in {' and '.join(changed)}.")
    trainer.vector[:] = arrays["vector"]
    trainer.optimizer = AdamW(arrays["mean"], arrays["square"], about["steps"])
    trainer.best = arrays.get("best")
    trainer.history = [Epoch(**row) for row in about["history"]]


def _as_json(what: dict[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(what))
    return loaded
