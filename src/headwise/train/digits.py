"""Training a vision transformer on digits, and judging it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headwise.data.mnist import Digits, LabelledImages
from headwise.hashing import fingerprint
from headwise.models.vit import ViTConfig, vit_backward, vit_forward, vit_params
from headwise.nn.losses import cross_entropy_backward, cross_entropy_forward
from headwise.nn.params import Params
from headwise.parallel.threads import parallel_map, shard_size, single_threaded_blas, split
from headwise.shapes import Array, IntArray
from headwise.train.augment import shift_and_rotate
from headwise.train.config import TrainingConfig
from headwise.train.loop import Epoch, ShardGradients, TrainingResult, ValidationResult, train

__all__ = ["DigitsTask", "Evaluation", "evaluate", "train_vit"]

_MOVED = 32  # images that are moved by one generator


class Evaluation(NamedTuple):
    """A model on labelled images: mean cross-entropy in nats, how many it got right, and its probabilities (B, C)."""

    loss: float
    n_correct: int
    probabilities: Array

    @property
    def accuracy(self) -> float:
        """Share that it got right."""
        return self.n_correct / len(self.probabilities)


class Shard(NamedTuple):
    """Images that are computed together, with their labels, and which share of the batch they are."""

    images: Array
    labels: IntArray
    share: float


@dataclass(frozen=True)
class DigitsTask:
    """A vision transformer that learns to read digits, moved a little each time they are seen."""

    config: ViTConfig
    data: Digits
    recipe: TrainingConfig

    @property
    def n_examples(self) -> int:
        """Training digits."""
        return len(self.data.train.labels)

    def init(self, rng: np.random.Generator) -> Params:
        """Random weights."""
        return vit_params(self.config, rng)

    def shards(self, chosen: IntArray, step: int) -> Sequence[Shard]:
        """As many images together as a cache holds."""
        images = self._augmented(self.data.train.images[chosen], step)
        labels = self.data.train.labels[chosen]
        parts = _shards(len(labels), self.config)
        return [Shard(images[part], labels[part], len(labels[part]) / len(labels)) for part in parts]

    def gradients(self, shard: Shard, params: Params) -> ShardGradients:
        """Cross-entropy's."""
        logits, cache = vit_forward(shard.images, params, self.config)
        loss, loss_cache = cross_entropy_forward(logits, shard.labels)
        dlogits = cross_entropy_backward(loss_cache)
        dlogits *= dlogits.dtype.type(shard.share)
        return ShardGradients(loss * shard.share, vit_backward(dlogits, cache))

    def validate(self, params: Params) -> ValidationResult | None:
        """On the validation digits, as they are."""
        if not len(self.data.validation.labels):
            return None
        judged = evaluate(self.data.validation, params, self.config)
        return ValidationResult(judged.loss, judged.accuracy)

    def describe(self) -> dict[str, Any]:
        """The model, and which digits: by name, and so that no others are taken for them."""
        digits = fingerprint(*self.data.train, *self.data.validation)
        return {"model": asdict(self.config), "data": self.data.name, "images": self.n_examples, "digits": digits}

    def _augmented(self, images: Array, step: int) -> Array:
        recipe = self.recipe
        if recipe.max_shift == recipe.max_rotation == 0:
            return images

        def shard(numbered: tuple[int, slice]) -> Array:
            rng = np.random.default_rng([recipe.seed, 3, step, numbered[0]])
            return shift_and_rotate(images[numbered[1]], shift=recipe.max_shift, rotate=recipe.max_rotation, rng=rng)

        return np.concatenate(parallel_map(shard, list(enumerate(split(len(images), _MOVED)))))


def train_vit(
    config: ViTConfig,
    data: Digits,
    recipe: TrainingConfig,
    *,
    state: Path | None = None,
    threads: int = 2,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> TrainingResult:
    """Train a vision transformer on digits; the other parameters are those of `train`.

    Parameters
    ----------
    config : ViT
    data : Digits
    recipe : Recipe
    state : Path, optional
    threads : int
    on_step, on_epoch : callable

    Returns
    -------
    Trained
    """
    task = DigitsTask(config, data, recipe)
    return train(task, recipe, state=state, threads=threads, on_step=on_step, on_epoch=on_epoch)


def evaluate(data: LabelledImages, params: Params, config: ViTConfig) -> Evaluation:
    """How well a model does on labelled images."""

    def shard(part: slice) -> Array:
        return vit_forward(data.images[part], params, config)[0]

    with single_threaded_blas():
        logits = np.concatenate(parallel_map(shard, _shards(len(data.labels), config)))
    loss, cache = cross_entropy_forward(logits, data.labels)
    return Evaluation(loss, int((logits.argmax(axis=1) == data.labels).sum()), cache.probabilities)


def _shards(count: int, config: ViTConfig) -> list[slice]:
    """Images to compute together; at least two shards, for two threads."""
    size = min(shard_size(1 + config.image_tokenizer.num_tokens), -(-count // 2))
    return split(count, max(1, size))
