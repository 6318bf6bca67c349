"""The training loop: shards over threads, sums in a fixed order, a checkpoint an epoch.

Every random number is drawn from a generator seeded by (seed, epoch) or (seed, step), so a run that was interrupted
goes on from its last checkpoint exactly as if it had not been.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from headwise.attention.threads import each, single_threaded_blas, threads
from headwise.data.digits import Digits, Labelled
from headwise.errors import DataError
from headwise.models.vit import ViT, vit_backward, vit_forward, vit_params
from headwise.nn.loss import cross_entropy_backward, cross_entropy_forward
from headwise.nn.params import Params, pack, unpack
from headwise.shapes import Array, IntArray
from headwise.train.adamw import AdamW, adamw_step, clip_norm, decayed
from headwise.train.augment import moved
from headwise.train.checkpoint import load_arrays, save_arrays
from headwise.train.memory import kept_memory
from headwise.train.recipe import Recipe

__all__ = ["Epoch", "Judged", "Trained", "Trainer", "judge", "train_vit"]

_Part = TypeVar("_Part")
_Result = TypeVar("_Result")

# How a batch is cut is fixed by the batch, so that the sums do not depend on how many threads ran.
_TOKENS = 1600  # of a shard at most: what a block makes of them stays in the second-level cache
_MOVED = 32  # images that are moved by one generator


class Epoch(NamedTuple):
    """What one pass over the training data ended with; validation is None where nothing was held out."""

    epoch: int
    rate: float
    train_loss: float
    validation_loss: float | None
    validation_accuracy: float | None


class Judged(NamedTuple):
    """A model on labelled images: mean cross-entropy in nats, how many it got right, and its probabilities (B, C)."""

    loss: float
    right: int
    probabilities: Array

    @property
    def accuracy(self) -> float:
        """Share that it got right."""
        return self.right / len(self.probabilities)


class Trained(NamedTuple):
    """A trained model's weights, and the course of its training."""

    params: Params
    history: tuple[Epoch, ...]


@dataclass
class Trainer:
    """A model in training: its parameters as one vector, and the optimiser's memory of them."""

    model: ViT
    recipe: Recipe
    total_steps: int
    like: Params = field(repr=False)
    vector: Array = field(repr=False)
    memory: AdamW = field(repr=False)
    history: list[Epoch] = field(default_factory=list)

    @classmethod
    def fresh(cls, model: ViT, recipe: Recipe, images: int) -> Trainer:
        """Random weights, nothing learned."""
        like = vit_params(model, np.random.default_rng([recipe.seed, 1]))
        vector = pack(like)
        return cls(model, recipe, recipe.epochs * recipe.steps(images), like, vector, AdamW.fresh(vector))

    @property
    def params(self) -> Params:
        """Views of the vector."""
        return unpack(self.vector, self.like)

    def step(self, images: Array, labels: IntArray) -> float:
        """One step of AdamW on one batch; returns the loss before it."""
        params = self.params

        def shard(part: slice) -> tuple[float, Array]:
            share = len(labels[part]) / len(labels)
            logits, cache = vit_forward(images[part], params, self.model)
            loss, loss_cache = cross_entropy_forward(logits, labels[part])
            dlogits = cross_entropy_backward(loss_cache)
            dlogits *= dlogits.dtype.type(share)
            return loss * share, pack(vit_backward(dlogits, cache))

        losses, gradients = zip(*_together(shard, _shards(len(labels), self.model)), strict=True)
        gradient = gradients[0]
        for other in gradients[1:]:
            gradient += other
        clip_norm(gradient, self.recipe.clip)
        rate = self.recipe.rate_at(self.memory.steps, self.total_steps)
        adamw_step(self.vector, gradient, self.memory, rate=rate, decay=self.recipe.decay, decays=self._decays)
        return float(sum(losses))

    def epoch(self, data: Digits, on_step: Callable[[], None]) -> None:
        """One pass over the training data, and a look at the validation data."""
        number = len(self.history)
        recipe, (images, labels) = self.recipe, data.train
        order = np.random.default_rng([recipe.seed, 2, number]).permutation(len(labels))
        losses = []
        for start in range(0, len(order), recipe.batch):
            chosen = order[start : start + recipe.batch]
            losses.append(self.step(self._augmented(images[chosen]), labels[chosen]) * len(chosen))
            on_step()
        judged = judge(data.validation, self.params, self.model) if len(data.validation.labels) else None
        self.history.append(
            Epoch(
                number + 1,
                recipe.rate_at(self.memory.steps - 1, self.total_steps),
                sum(losses) / len(order),
                None if judged is None else judged.loss,
                None if judged is None else judged.accuracy,
            )
        )

    def _augmented(self, images: Array) -> Array:
        recipe, step = self.recipe, self.memory.steps
        if recipe.shift == recipe.rotate == 0:
            return images

        def shard(numbered: tuple[int, slice]) -> Array:
            rng = np.random.default_rng([recipe.seed, 3, step, numbered[0]])
            return moved(images[numbered[1]], shift=recipe.shift, rotate=recipe.rotate, rng=rng)

        return np.concatenate(_together(shard, list(enumerate(_slices(len(images), _MOVED)))))

    def __post_init__(self) -> None:
        self._decays = decayed(self.like)


def train_vit(
    model: ViT,
    data: Digits,
    recipe: Recipe,
    *,
    state: Path | None = None,
    workers: int = 2,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Train a vision transformer.

    Parameters
    ----------
    model : ViT
    data : Digits
    recipe : Recipe
    state : Path, optional
        A file that is written after every epoch, and gone on from if it is there already.
    workers : int
        Threads; the result does not depend on how many.
    on_step, on_epoch : callable
        Called after each step and each epoch; epochs done before are reported too.

    Returns
    -------
    Trained

    Raises
    ------
    DataError
        If the state is that of another model, recipe or data.
    """
    with threads(workers), single_threaded_blas(), kept_memory():
        trainer = Trainer.fresh(model, recipe, len(data.train.labels))
        what = {"model": asdict(model), "recipe": asdict(recipe), "data": data.name, "images": len(data.train.labels)}
        if state is not None and state.exists():
            _restore(trainer, state, what)
        for epoch in trainer.history:
            on_epoch(epoch)
        for _ in range(trainer.memory.steps):
            on_step()
        while len(trainer.history) < recipe.epochs:
            trainer.epoch(data, on_step)
            if state is not None:
                _keep(trainer, state, what)
            on_epoch(trainer.history[-1])
        return Trained({name: array.copy() for name, array in trainer.params.items()}, tuple(trainer.history))


def judge(data: Labelled, params: Params, model: ViT) -> Judged:
    """How well a model does on labelled images."""

    def shard(part: slice) -> Array:
        return vit_forward(data.images[part], params, model)[0]

    with single_threaded_blas():
        logits = np.concatenate(_together(shard, _shards(len(data.labels), model)))
    loss, cache = cross_entropy_forward(logits, data.labels)
    return Judged(loss, int((logits.argmax(axis=1) == data.labels).sum()), cache.probabilities)


def _together(task: Callable[[_Part], _Result], parts: Sequence[_Part]) -> list[_Result]:
    """What the task makes of each part, in order, the work shared among the threads."""
    results: dict[int, _Result] = {}

    def one(i: int) -> None:
        results[i] = task(parts[i])

    each(one, len(parts))
    return [results[i] for i in range(len(parts))]


def _shards(count: int, model: ViT) -> list[slice]:
    """Images that are computed together: as many as a cache holds, but never all in one shard."""
    return _slices(count, max(1, min(_TOKENS // (1 + model.tokeniser.count), -(-count // 2))))


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _keep(trainer: Trainer, path: Path, what: dict[str, Any]) -> None:
    arrays = {"vector": trainer.vector, "mean": trainer.memory.mean, "square": trainer.memory.square}
    about = {
        "kind": "training",
        "what": what,
        "steps": trainer.memory.steps,
        "history": [epoch._asdict() for epoch in trainer.history],
    }
    save_arrays(path, arrays, about)


def _restore(trainer: Trainer, path: Path, what: dict[str, Any]) -> None:
    arrays, about = load_arrays(path)
    found = about.get("what", {})
    # through JSON, as the file went: tuples became lists
    if found != _as_json(what):
        changed = [name for name, value in _as_json(what).items() if found.get(name) != value]
        raise DataError(f"{path}: the run to go on with was another: it differs in {' and '.join(changed)}.")
    trainer.vector[:] = arrays["vector"]
    trainer.memory = AdamW(arrays["mean"], arrays["square"], about["steps"])
    trainer.history = [Epoch(**row) for row in about["history"]]


def _as_json(what: dict[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(what))
    return loaded
