"""The maximum of a set of numbers as a regression problem; every step draws new sets.

Source: Lee et al., "Set Transformer", ICML 2019, arXiv 1810.00825, section 5.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from headwise.models.sets import SetTransformerConfig, set_backward, set_forward, set_params
from headwise.nn import Params, absolute_error_backward, absolute_error_forward
from headwise.shapes import Array, IntArray
from headwise.train.loop import ShardGradients, ValidationResult

MAX_VALUE, MAX_SET_SIZE = 100.0, 10  # numbers are uniform from 0 to MAX_VALUE; sets have 1 to MAX_SET_SIZE of them
_SHIFT = _SCALE = MAX_VALUE / 2  # inputs and outputs of the model are from −1 to 1


class Sets(NamedTuple):
    """Scaled members (B, N, 1), sizes (B,), and the scaled maximum of each set (B, 1)."""

    members: Array
    lengths: IntArray
    largest: Array


def draw_sets(count: int, rng: np.random.Generator) -> Sets:
    """Sets of 1 to `MAX_SET_SIZE` numbers from 0 to 100, both uniform, padded with zeros.

    Examples
    --------
    >>> import numpy as np
    >>> sets = draw_sets(3, np.random.default_rng(0))
    >>> sets.members.shape, sets.lengths
    ((3, 9, 1), array([9, 7, 6]))
    """
    lengths = rng.integers(1, MAX_SET_SIZE, count, endpoint=True)
    members = rng.uniform(0, MAX_VALUE, (count, int(lengths.max()), 1))
    valid = np.arange(members.shape[1]) < lengths[:, None]
    largest = np.where(valid[..., None], members, -np.inf).max(axis=1)
    scaled = np.where(valid[..., None], (members - _SHIFT) / _SCALE, 0)
    return Sets(scaled.astype(np.float32), lengths, ((largest - _SHIFT) / _SCALE).astype(np.float32))


@dataclass(frozen=True)
class MaximumTask:
    """A set transformer that learns the largest member, under the mean absolute error.

    Attributes
    ----------
    config : SetTransformerConfig
    seed : int
        Of the sets that are drawn.
    n_examples : int
        Number of new sets per epoch.
    n_validation : int
        Size of a fixed validation set; none by default.
    """

    config: SetTransformerConfig
    seed: int
    n_examples: int
    n_validation: int = 0

    def init(self, rng: np.random.Generator) -> Params:
        """Random parameters."""
        return set_params(self.config, rng)

    def shards(self, indices: IntArray, step: int) -> Sequence[Sets]:
        """New sets; as in the authors' code, all sets of a batch have the same size."""
        rng = np.random.default_rng([self.seed, 5, step])
        length = int(rng.integers(1, MAX_SET_SIZE, endpoint=True))
        members = rng.uniform(0, MAX_VALUE, (len(indices), length, 1))
        scaled = ((members - _SHIFT) / _SCALE).astype(np.float32)
        return [Sets(scaled, np.full(len(indices), length), scaled.max(axis=1))]

    def gradients(self, shard: Sets, params: Params) -> ShardGradients:
        """Of the mean absolute error."""
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
        """The configuration, the seed and the numbers of sets."""
        return {"task": "largest member", **asdict(self)}


def mean_absolute_error(sets: Sets, params: Params, config: SetTransformerConfig) -> float:
    """Mean absolute error of the model, in units of the numbers."""
    y, _ = set_forward(sets.members, params, config, lengths=sets.lengths)
    return float(np.abs(y - sets.largest).mean() * _SCALE)
