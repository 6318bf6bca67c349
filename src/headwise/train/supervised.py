"""Supervised training of any model of this package: classes or numbers, with an optional validation set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headwise import nn
from headwise.hashing import fingerprint
from headwise.models.trainable import Inputs, TrainableModel
from headwise.parallel.threads import parallel_map, shard_size, single_threaded_blas, split
from headwise.shapes import Array, IntArray
from headwise.train.loop import ShardGradients, ValidationResult


@dataclass(frozen=True)
class Examples:
    """Inputs with their targets.

    Attributes
    ----------
    inputs : tuple of ndarray
        As the model takes them; the first axis of each is the item.
    targets : ndarray of shape (B,) or (B, E)
        Classes as integers, or numbers to predict.
    """

    inputs: Inputs
    targets: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, indices: IntArray | slice) -> Examples:
        """The examples at these indices."""
        return Examples(tuple(array[indices] for array in self.inputs), self.targets[indices])


class Shard(NamedTuple):
    """Examples that are computed together, their fraction of the batch, and the generator for dropout."""

    examples: Examples
    fraction: float
    rng: np.random.Generator


@dataclass(frozen=True)
class Supervised:
    """A model that learns targets: classes under cross-entropy, numbers under the mean squared error.

    Attributes
    ----------
    model : TrainableModel
    train : Examples
    validation : Examples, optional
    seed : int
        Of dropout.
    augment : callable, optional
        ``augment(inputs, step)`` returns randomly changed inputs of a batch.
    initial_params : dict, optional
        Parameters to start from, such as those of a pretrained encoder; the others are random.
    """

    model: TrainableModel
    train: Examples
    validation: Examples | None = None
    seed: int = 0
    augment: Callable[[Inputs, int], Inputs] | None = field(default=None, repr=False)
    initial_params: nn.Params | None = field(default=None, repr=False)

    @property
    def n_examples(self) -> int:
        """Number of training examples."""
        return len(self.train)

    def init(self, rng: np.random.Generator) -> nn.Params:
        """Random parameters, replaced by `initial_params` of the same names."""
        params = self.model.init(rng)
        return params | {name: array.copy() for name, array in (self.initial_params or {}).items() if name in params}

    def shards(self, indices: IntArray, step: int) -> Sequence[Shard]:
        """The batch in shards; in one shard if the model normalizes over the batch."""
        batch = self.train.take(indices)
        if self.augment is not None:
            batch = Examples(self.augment(batch.inputs, step), batch.targets)
        parts = [slice(None)] if self.model.uses_batch_norm else _shards(self.model, batch.inputs)
        shards = [batch.take(part) for part in parts]
        return [
            Shard(shard, len(shard) / len(batch), np.random.default_rng([self.seed, 4, step, i]))
            for i, shard in enumerate(shards)
        ]

    def gradients(self, shard: Shard, params: nn.Params) -> ShardGradients:
        """Loss and gradients of one shard."""
        outputs, cache = self.model.forward(shard.examples.inputs, params, shard.rng)
        loss, doutputs = supervised_loss(outputs, shard.examples.targets)
        doutputs *= doutputs.dtype.type(shard.fraction)
        gradients, batch_stats = self.model.backward(doutputs, cache)
        return ShardGradients(loss * shard.fraction, gradients, batch_stats)

    def validate(self, params: nn.Params) -> ValidationResult | None:
        """Loss, and accuracy for classes, on the validation set."""
        if self.validation is None:
            return None
        outputs = predict_batched(self.model, self.validation.inputs, params)
        loss, _ = supervised_loss(outputs, self.validation.targets)
        if self.validation.targets.ndim > 1:
            return ValidationResult(loss)
        return ValidationResult(loss, float((outputs.argmax(axis=1) == self.validation.targets).mean()))

    def describe(self) -> dict[str, Any]:
        """The model's configuration, and digests of the data and of the parameters to start from."""
        sets = [examples for examples in (self.train, self.validation) if examples is not None]
        initial = self.initial_params
        return {
            **self.model.config(),
            "data": [fingerprint(*examples.inputs, examples.targets) for examples in sets],
            "initial_params": None if initial is None else fingerprint(*(initial[name] for name in sorted(initial))),
            "seed": self.seed,
        }


def supervised_loss(outputs: Array, targets: npt.NDArray[Any]) -> tuple[float, Array]:
    """The loss, and its gradient with respect to the outputs: cross-entropy for targets (B,), else squared error."""
    if targets.ndim == 1:
        loss, cache = nn.cross_entropy_forward(outputs, targets)
        return loss, nn.cross_entropy_backward(cache)
    loss, difference = nn.squared_error_forward(outputs, targets.astype(outputs.dtype, copy=False))
    return loss, nn.squared_error_backward(difference)


def predict_batched(model: TrainableModel, inputs: Inputs, params: nn.Params) -> Array:
    """Outputs (B, E) for any number of items, computed in shards on several threads."""

    def predict(part: slice) -> Array:
        return model.forward(tuple(array[part] for array in inputs), params)[0]

    with single_threaded_blas():
        return np.concatenate(parallel_map(predict, _shards(model, inputs)))


def _shards(model: TrainableModel, inputs: Inputs) -> list[slice]:
    """Items that are computed together: as many as fit into the cache, but two shards at least, for two threads."""
    size = min(shard_size(model.num_tokens(inputs)), -(-len(inputs[0]) // 2))
    return split(len(inputs[0]), max(1, size))
