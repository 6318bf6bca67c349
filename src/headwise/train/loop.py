"""The training loop for any `Task`: shards on several threads, sums in a fixed order, one checkpoint per epoch.

Every random number comes from a generator seeded by (seed, epoch) or (seed, step), so an interrupted run resumes from
its last checkpoint with the same bytes as an uninterrupted one.
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

_MOMENTUM = 0.1  # weight of the newest batch in running averages


@dataclass(frozen=True)
class ShardGradients:
    """Loss and gradients of one shard of a batch.

    Attributes
    ----------
    loss : float
        Its part of the mean loss of the batch.
    gradients : dict
        Of that part, by parameter; a missing one is zero.
    batch_stats : dict
        Statistics of the shard for parameters that are running averages, as in batch normalization.
    """

    loss: float
    gradients: Params
    batch_stats: Params = field(default_factory=dict)


class ValidationResult(NamedTuple):
    """Loss on the validation set, and accuracy if there are classes."""

    loss: float
    accuracy: float | None = None


class Task(Protocol):
    """A model with the data and the objective it is trained on."""

    @property
    def n_examples(self) -> int:
        """Number of training examples."""

    def init(self, rng: np.random.Generator) -> Params:
        """Initial parameters."""

    def shards(self, indices: IntArray, step: int) -> Sequence[Any]:
        """Divide one batch into the parts that are computed together; `step` seeds everything random in them.

        The division depends on the batch only, so that sums do not depend on the number of threads.
        """

    def gradients(self, shard: Any, params: Params) -> ShardGradients:
        """Loss and gradients of one shard; called from several threads."""

    def validate(self, params: Params) -> ValidationResult | None:
        """Evaluate the parameters on the validation set; None if there is none."""

    def describe(self) -> Mapping[str, Any]:
        """What identifies the task, as a JSON-serializable mapping."""


class Epoch(NamedTuple):
    """Results of one pass over the training data; validation results are None without a validation set."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float | None
    validation_accuracy: float | None


class TrainingResult(NamedTuple):
    """Trained parameters, and the results of every epoch."""

    params: Params
    history: tuple[Epoch, ...]


@dataclass
class Trainer:
    """A task in training: its parameters as one vector, and the state of the optimizer."""

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
        """Initial parameters and optimizer state."""
        like = task.init(np.random.default_rng([recipe.seed, 1]))
        vector = flatten(like)
        total_steps = recipe.epochs * recipe.steps_per_epoch(task.n_examples)
        return cls(task, recipe, total_steps, like, vector, AdamW.zeros(vector))

    @property
    def params(self) -> Params:
        """The parameters, as views of the vector."""
        return unflatten(self.vector, self.like)

    def step(self, indices: IntArray) -> float:
        """One step of AdamW on one batch; returns the loss before it."""
        params = self.params

        def compute(shard: Any) -> tuple[ShardGradients, Array]:
            result = self.task.gradients(shard, params)
            return result, flatten({name: result.gradients.get(name, zero) for name, zero in self._zeros.items()})

        shards = self.task.shards(indices, self.optimizer.steps)
        results, gradients = zip(*parallel_map(compute, shards), strict=True)
        gradient = gradients[0]
        for other in gradients[1:]:
            gradient += other
        clip_norm(gradient, self.recipe.max_grad_norm)
        rate = self.recipe.learning_rate_at(self.optimizer.steps, self.total_steps)
        decay, mask = self.recipe.weight_decay, self._decays
        adamw_step(self.vector, gradient, self.optimizer, learning_rate=rate, weight_decay=decay, decay_mask=mask)
        for result in results:
            for name, statistic in result.batch_stats.items():
                params[name] += _MOMENTUM / len(results) * (statistic - params[name])
        return float(sum(result.loss for result in results))

    def epoch(self, on_step: Callable[[], None]) -> None:
        """One pass over the training data, and an evaluation on the validation set."""
        number, recipe = len(self.history), self.recipe
        order = np.random.default_rng([recipe.seed, 2, number]).permutation(self.task.n_examples)
        losses = []
        for start in range(0, len(order), recipe.batch_size):
            indices = order[start : start + recipe.batch_size]
            losses.append(self.step(indices) * len(indices))
            on_step()
        loss, accuracy = self.task.validate(self.params) or (None, None)
        rate = recipe.learning_rate_at(self.optimizer.steps - 1, self.total_steps)
        self.history.append(Epoch(number + 1, rate, sum(losses) / len(order), loss, accuracy))
        if loss is not None and self.epochs_since_best == 0:
            self.best = self.vector.copy()

    @property
    def epochs_since_best(self) -> int:
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
    recipe : TrainingConfig
    patience : int, optional
        Stop when the validation loss has not improved for `patience` epochs, and return the parameters with the lowest.
        By default all epochs are run, and the last parameters returned.
    state : Path, optional
        A file that is written after every epoch; if it exists, training resumes from it.
    threads : int
        The result does not depend on their number.
    on_step, on_epoch : callable
        Called after each step and each epoch, including those of a run that is resumed.

    Raises
    ------
    DataError
        If the state belongs to another task or recipe, or training diverges.
    CheckpointError
        If the file is damaged.
    """
    with limit_threads(threads), single_threaded_blas(), keep_heap():
        trainer = Trainer.create(task, recipe)
        run = {**task.describe(), "recipe": asdict(recipe)} if state is not None else {}
        if state is not None and state.exists():
            _restore(trainer, state, run)
        for epoch in trainer.history:
            on_epoch(epoch)
        for _ in range(trainer.optimizer.steps):
            on_step()
        while len(trainer.history) < recipe.epochs and (patience is None or trainer.epochs_since_best < patience):
            _run_epoch(trainer, on_step)
            if state is not None:
                _save(trainer, state, run)
            on_epoch(trainer.history[-1])
        if patience is not None and trainer.best is not None:
            trainer.vector[:] = trainer.best
        return TrainingResult({name: array.copy() for name, array in trainer.params.items()}, tuple(trainer.history))


def _run_epoch(trainer: Trainer, on_step: Callable[[], None]) -> None:
    """Run one epoch; non-finite parameters or losses raise an error that names the cause."""
    try:
        trainer.epoch(on_step)
        if np.isfinite(trainer.vector).all() and np.isfinite(trainer.history[-1].train_loss):
            return
    except DataError:
        if not trainer.optimizer.steps:  # with the initial parameters: training is not the cause
            raise
    raise DataError(
        f"learning_rate: with {trainer.recipe.learning_rate:g} training diverged: in epoch {len(trainer.history) or 1} "
        "weights or losses were no longer finite. Choose a lower one."
    ) from None


def _save(trainer: Trainer, path: Path, run: dict[str, Any]) -> None:
    arrays = {"vector": trainer.vector, "mean": trainer.optimizer.mean, "square": trainer.optimizer.square}
    if trainer.best is not None:
        arrays["best"] = trainer.best
    history = [epoch._asdict() for epoch in trainer.history]
    header = {"kind": "training", "run": run, "steps": trainer.optimizer.steps, "history": history}
    save_arrays(path, arrays, header)


def _restore(trainer: Trainer, path: Path, run: dict[str, Any]) -> None:
    arrays, header = load_arrays(path)
    if header.get("kind") != "training" or not {"vector", "mean", "square"} <= arrays.keys():
        raise CheckpointError(f"{path}: not the state of an interrupted run. Remove it to start again.")
    expected = json.loads(json.dumps(run))  # tuples become lists, as in the file
    if header["run"] != expected:
        changed = [name for name, value in expected.items() if header["run"].get(name) != value]
        raise DataError(f"{path}: cannot resume: this is another run, which differs in {' and '.join(changed)}.")
    trainer.vector[:] = arrays["vector"]
    trainer.optimizer = AdamW(arrays["mean"], arrays["square"], header["steps"])
    trainer.best = arrays.get("best")
    trainer.history = [Epoch(**row) for row in header["history"]]
