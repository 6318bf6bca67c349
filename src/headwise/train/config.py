"""The training configuration and its learning rate schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headwise.errors import DataError
from headwise.validation import check_counts


@dataclass(frozen=True)
class TrainingConfig:
    """Hyperparameters of training.

    Attributes
    ----------
    epochs, batch_size : int
        Passes over the training data, and examples per step.
    learning_rate : float
        Peak of the learning rate schedule.
    warmup : float
        Fraction of all steps during which the learning rate rises from zero.
    weight_decay : float
        Of AdamW.
    max_grad_norm : float
        Gradients with a larger norm are scaled down to it.
    max_shift, max_rotation : float
        Augmentation of images: largest shift in pixels, and largest rotation in degrees.
    seed : int
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 3e-3
    warmup: float = 0.1
    weight_decay: float = 0.05
    max_grad_norm: float = 1.0
    max_shift: float = 2.0
    max_rotation: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(epochs=self.epochs, batch_size=self.batch_size)
        check_counts(0, seed=self.seed)
        for name in ("learning_rate", "warmup", "weight_decay", "max_grad_norm", "max_shift", "max_rotation"):
            if not 0 <= getattr(self, name) < math.inf:
                raise DataError(f"{name}: expected a number from 0; got {getattr(self, name)}.")

    def steps_per_epoch(self, images: int) -> int:
        """Steps in one epoch; the last batch may be smaller."""
        return math.ceil(images / self.batch_size)

    def learning_rate_at(self, step: int, total: int) -> float:
        """Linear warm-up, then a cosine decay to zero.

        Examples
        --------
        >>> recipe = TrainingConfig(learning_rate=1.0, warmup=0.1)
        >>> [round(recipe.learning_rate_at(step, 100), 2) for step in (0, 9, 10, 55, 99)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
        """
        rising = max(1, round(self.warmup * total))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
