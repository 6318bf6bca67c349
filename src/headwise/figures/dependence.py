"""What a prediction depends on, as a record keeps it: the recommended map next to attention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headwise.errors import ShapeError
from headwise.metrics.faithfulness import spearman
from headwise.representation import brief_repr
from headwise.shapes import Array, IntArray, bind


@dataclass(frozen=True, eq=False)
class Dependence:
    """Two maps of one input, and why the second was chosen."""

    # (N,): the player that each token belongs to, from 0: itself, its word, or a block of neighbours; see
    # `headwise.attribution.group_tokens`
    players: IntArray
    attention: Array  # (P,): attention on each player, a mean over all layers and heads
    values: Array  # (P,): the recommended map: how much the prediction depends on each player
    map: str  # its name in `headwise.attribution.MAPS`
    audited: int = 0  # number of inputs in the audit that recommends it; 0 if there is no audit of the model
    confidence: float = 0.0  # share of bootstrap resamples of these inputs in which it is the most faithful map
    data: str = ""  # name of these inputs

    __repr__ = brief_repr

    def __post_init__(self) -> None:
        count = bind("P", attention=self.attention).bind("P", values=self.values)["P"]
        if not np.array_equal(np.unique(self.players), np.arange(count)):
            raise ShapeError(f"players: expected the numbers 0 to {count - 1}, each at least once.")

    @property
    def agreement(self) -> float:
        """Spearman's rank correlation of the two maps."""
        return spearman(self.attention, self.values)

    @property
    def attention_by_token(self) -> Array:
        """(N,): attention, with each player's on all of its tokens."""
        return np.asarray(self.attention[self.players])

    @property
    def values_by_token(self) -> Array:
        """(N,): the recommended map, with each player's value on all of its tokens."""
        return np.asarray(self.values[self.players])
