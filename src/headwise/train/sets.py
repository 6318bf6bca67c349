"""The toy problem of sets: which is the largest of these numbers? Every step sees sets that were never seen before.

Source: Lee et al., "Set Transformer", ICML 2019, arXiv 1810.00825, section 5.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from headwise.models.sets import SetTransformerConfig, set_backward, set_forward, set_params
from headwise.nn.losses import absolute_error_backward, absolute_error_forward
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray
from headwise.train.loop import ShardGradients, ValidationResult

__all__ = ["MAX_SET_SIZE", "MAX_VALUE", "MaximumTask", "Sets", "draw_sets", "mean_absolute_error"]

MAX_VALUE, MAX_SET_SIZE = 100.0, 10  # numbers are uniform from 0 to this, and sets have from 1 to so many
_SHIFT = _SCALE = MAX_VALUE / 2  # what the model reads and says is from −1 to 1


class Sets(NamedTuple):
    """Sets of numbers (B, N, 1), as the model reads them, how many each has (B,), and the largest of each (B, 1)."""

    members: Array
    lengths: IntArray
    largest: Array


def draw_sets(count: int, rng: np.random.Generator, *, longest: int = MAX_SET_SIZE) -> Sets:
    """Sets of 1 to `longest` numbers from 0 to 100, both uniform, padded with zeros.

    Examples
    --------
    >>> import numpy as np
    >>> sets = draw_sets(3, np.random.default_rng(0))
    >>> sets.members.shape, sets.lengths
    ((3, 9, 1), array([9, 7, 6]))
    """
    lengths = rng.integers(1, longest, count, endpoint=True)
    members = rng.uniform(0, MAX_VALUE, (count, int(lengths.max()), 1))
    there = np.arange(members.shape[1]) < lengths[:, None]
    largest = np.where(there[..., None], members, -np.inf).max(axis=1)
    scaled = np.where(there[..., None], (members - _SHIFT) / _SCALE, 0)
    return Sets(scaled.astype(np.float32), lengths, ((largest - _SHIFT) / _SCALE).astype(np.float32))


@dataclass(frozen=True)
class MaximumTask:
    """A model of sets that learns to tell the largest member, under the mean absolute error.

    Attributes
    ----------
    model : SetModel
    seed : int
        Which sets are drawn.
    examples : int
        How many new sets make an epoch.
    validation : int
        How many more, always the same, it is watched by; none by default.
    """

    config: SetTransformerConfig
    seed: int
    n_examples: int
    n_validation: int = 0

    def init(self, rng: np.random.Generator) -> Params:
        """Random weights."""
        return set_params(self.config, rng)

    def shards(self, chosen: IntArray, step: int) -> Sequence[Sets]:
        """New sets; as in the authors' code, all of a batch have as many members."""
        rng = np.random.default_rng([self.seed, 5, step])
        length = int(rng.integers(1, MAX_SET_SIZE, endpoint=True))
        members = rng.uniform(0, MAX_VALUE, (len(chosen), length, 1))
        scaled = ((members - _SHIFT) / _SCALE).astype(np.float32)
        return [Sets(scaled, np.full(len(chosen), length), scaled.max(axis=1))]

    def gradients(self, shard: Sets, params: Params) -> ShardGradients:
        """The mean absolute error's."""
        y, cache = set_forward(shard.members, params, self.config)
        loss, difference = absolute_error_forward(y, shard.largest)
        return ShardGradients(loss, set_backward(absolute_error_backward(difference), cache))

    def validate(self, params: Params) -> ValidationResult | None:
        """The mean absolute error, in units of the numbers."""
        if not self.n_validation:
            return None
        sets = draw_sets(self.n_validation, np.random.default_rng([self.seed, 6]))
        return ValidationResult(mean_absolute_error(sets, params, self.config))

    def describe(self) -> dict[str, Any]:
        """The model, and which sets."""
        return {"task": "largest member", **asdict(self)}


def mean_absolute_error(sets: Sets, params: Params, config: SetTransformerConfig) -> float:
    """How far off the model is, on average, in units of the numbers."""
    y, _ = set_forward(sets.members, params, config, lengths=sets.lengths)
    return float(np.abs(y - sets.largest).mean() * _SCALE)
