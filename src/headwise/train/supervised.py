"""Learning from examples with answers, for any network: classes or numbers, watched by examples kept aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headwise.models.trainable import Inputs, TrainableModel
from headwise.nn.losses import (
    cross_entropy_backward,
    cross_entropy_forward,
    squared_error_backward,
    squared_error_forward,
)
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray
from headwise.train.loop import ShardGradients, ValidationResult

__all__ = ["Examples", "Supervised", "predict_batched"]

_TOGETHER = 256  # items that are judged at a time


@dataclass(frozen=True)
class Examples:
    """Inputs with their answers.

    Attributes
    ----------
    inputs : tuple of ndarray
        As the network takes them, an item a row.
    answers : ndarray of shape (B,) or (B, E)
        Classes as integers, or numbers to predict.
    """

    inputs: Inputs
    targets: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, chosen: IntArray) -> Examples:
        """Some of them."""
        return Examples(tuple(array[chosen] for array in self.inputs), self.targets[chosen])


class Shard(NamedTuple):
    """Examples that are computed together, which share of the batch they are, and what is random in them."""

    examples: Examples
    share: float
    rng: np.random.Generator


@dataclass(frozen=True)
class Supervised:
    """A network that learns the answers: classes under cross-entropy, numbers under the mean squared error.

    Attributes
    ----------
    network : Network
    train : Examples
    validation : Examples or None
        Kept aside.
    seed : int
        Of dropout, where the network has it.
    """

    model: TrainableModel
    train: Examples
    validation: Examples | None
    seed: int

    @property
    def n_examples(self) -> int:
        """To learn from."""
        return len(self.train)

    @property
    def _classes(self) -> bool:
        return self.train.targets.ndim == 1

    def init(self, rng: np.random.Generator) -> Params:
        """Random weights."""
        return self.model.init(rng)

    def shards(self, chosen: IntArray, step: int) -> Sequence[Shard]:
        """Two halves, or the batch whole where its items are normalised together."""
        parts = [chosen] if self.model.uses_batch_norm or len(chosen) < 2 else np.array_split(chosen, 2)
        return [
            Shard(self.train.take(part), len(part) / len(chosen), np.random.default_rng([self.seed, 4, step, i]))
            for i, part in enumerate(parts)
        ]

    def gradients(self, shard: Shard, params: Params) -> ShardGradients:
        """The loss's."""
        y, cache = self.model.forward(shard.examples.inputs, params, shard.rng)
        loss, dy = self._loss(y, shard.examples.targets)
        gradients, averages = self.model.backward(dy * dy.dtype.type(shard.share), cache)
        return ShardGradients(loss * shard.share, gradients, averages)

    def validate(self, params: Params) -> ValidationResult | None:
        """On what was kept aside."""
        if self.validation is None:
            return None
        y = predict_batched(self.model, self.validation.inputs, params)
        loss, _ = self._loss(y, self.validation.targets)
        right = y.argmax(axis=1) == self.validation.targets if self._classes else None
        return ValidationResult(loss, None if right is None else float(right.mean()))

    def describe(self) -> dict[str, Any]:
        """The network, and how many examples."""
        kept_aside = 0 if self.validation is None else len(self.validation)
        return {**self.model.config(), "examples": len(self.train), "kept aside": kept_aside, "seed": self.seed}

    def _loss(self, y: Array, answers: npt.NDArray[Any]) -> tuple[float, Array]:
        if self._classes:
            loss, cache = cross_entropy_forward(y, answers)
            return loss, cross_entropy_backward(cache)
        loss, difference = squared_error_forward(y, answers)
        return loss, squared_error_backward(difference)


def predict_batched(network: TrainableModel, inputs: Inputs, params: Params) -> Array:
    """What a network says of every item (B, E), some items at a time."""
    starts = range(0, len(inputs[0]), _TOGETHER)
    return np.concatenate(
        [network.forward(tuple(array[start : start + _TOGETHER] for array in inputs), params)[0] for start in starts]
    )
