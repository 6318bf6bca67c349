"""How a model is trained: the recipe, and the learning rate it prescribes for every step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headwise.errors import DataError
from headwise.validation import check_counts

__all__ = ["TrainingConfig"]


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides what training does, beside the model and the data.

    Attributes
    ----------
    epochs, batch : int
        Passes over the training data, and images a step.
    rate : float
        The learning rate's peak.
    warmup : float
        The share of all steps over which the rate rises from zero.
    decay : float
        AdamW's weight decay.
    clip : float
        The longest gradient that is not shortened.
    shift, rotate : float
        Augmentation, in pixels and degrees.
    seed : int
    """

    epochs: int = 30
    batch: int = 64
    rate: float = 3e-3
    warmup: float = 0.1
    decay: float = 0.05
    clip: float = 1.0
    shift: float = 2.0
    rotate: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(epochs=self.epochs, batch=self.batch)
        check_counts(0, seed=self.seed)
        for name in ("rate", "warmup", "decay", "clip", "shift", "rotate"):
            if not 0 <= getattr(self, name) < math.inf:
                raise DataError(f"{name}: expected a number from 0; got {getattr(self, name)}.")

    def steps(self, images: int) -> int:
        """Steps in one epoch; the last may have a smaller batch."""
        return math.ceil(images / self.batch)

    def rate_at(self, step: int, total: int) -> float:
        """Rise linearly over the warm-up, then fall to zero along half a cosine.

        Examples
        --------
        >>> recipe = TrainingConfig(rate=1.0, warmup=0.1)
        >>> [round(recipe.rate_at(step, 100), 2) for step in (0, 9, 10, 55, 99)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
        """
        rising = max(1, round(self.warmup * total))
        if step < rising:
            return self.rate * (step + 1) / rising
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
