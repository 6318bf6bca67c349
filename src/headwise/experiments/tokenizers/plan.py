"""The plan of the tokenizer experiment: every tokenizer with every seed, on training sets of every size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from headwise.data.mnist import Digits, LabelledImages, load_bundled_mnist, load_mnist
from headwise.errors import DataError
from headwise.hashing import fingerprint
from headwise.models.vit import ViTConfig
from headwise.train.config import TrainingConfig
from headwise.validation import check_counts, check_unique

DEFAULT = ("7x7", "4x4", "rows", "scrambled-7x7")
_MODEL, _RECIPE = ViTConfig(), TrainingConfig(epochs=15)


@lru_cache(maxsize=1)
def load_digits(folder: Path | None = None) -> Digits:
    """MNIST from a folder of idx files, or the bundled digits; cached, since every run needs them."""
    return load_bundled_mnist() if folder is None else load_mnist(folder, n_validation=0)


@dataclass(frozen=True)
class Job:
    """One training."""

    # the seed is the recipe's
    model: ViTConfig
    recipe: TrainingConfig
    size: int  # number of training digits
    # the digits' name and fingerprint
    data: str
    digest: str

    @property
    def config(self) -> dict[str, Any]:
        """Everything that the outcome depends on."""
        return asdict(self)

    @property
    def name(self) -> str:
        """Readable, and without characters that a file's name cannot have."""
        return f"{self.model.tokenizer.replace('/', '-every-')}-{self.size}-{self.recipe.seed}"


@dataclass(frozen=True)
class TokenizersPlan:
    """Which models are trained, on which digits.

    Raises DataError if there is nothing to compare, or a tokenizer or size is named twice; ShapeError if a tokenizer
    does not fit the image.
    """

    # Names for `headwise.tokenizers.get_tokenizer`. The others are compared with the first, but a shuffled one with
    # the same tokenizer of the upright image if that is in the plan.
    tokenizers: tuple[str, ...] = DEFAULT
    # Runs of each. With seed s the digits come in the same order and with the same augmentation for every tokenizer.
    # With n seeds the exact test cannot give less than 2¹⁻ⁿ: six are the fewest that can reach 0.05.
    seeds: int = 6
    # smaller training sets, each trained for as many steps as the full set, to the nearest whole epoch
    sizes: tuple[int, ...] = ()
    # what all runs share
    model: ViTConfig = _MODEL
    recipe: TrainingConfig = _RECIPE
    load: Callable[[], Digits] = load_digits  # returns the digits, in this process and in every other

    def __post_init__(self) -> None:
        for name in self.tokenizers:
            self.model_with(name)
        check_unique(tokenizers=self.tokenizers, sizes=self.sizes)
        if len(self.tokenizers) < 2:
            names = ", ".join(self.tokenizers) or "none"
            raise DataError(f"tokenizers: expected two or more to compare; got {names}.")
        check_counts(seeds=self.seeds)

    def model_with(self, tokenizer: str) -> ViTConfig:
        """The model with this tokenizer."""
        return replace(self.model, tokenizer=tokenizer)

    def jobs(self, digits: Digits) -> list[Job]:
        """All trainings, seed by seed, so that an interrupted experiment has about as many of each tokenizer.

        Raises DataError if a size is not below the number of training digits.
        """
        total, digest = len(digits.train.labels), fingerprint(*digits.train, *digits.validation, *digits.test)
        for size in self.sizes:
            if not 1 <= size < total:
                raise DataError(f"sizes: expected 1 to {total - 1}, fewer than all training digits; got {size}.")
        jobs = []
        for seed in range(self.seeds):
            for size in (total, *self.sizes):
                epochs = matched_epochs(self.recipe, size, total)
                recipe = replace(self.recipe, seed=self.recipe.seed + seed, epochs=epochs)
                jobs += [Job(self.model_with(name), recipe, size, digits.name, digest) for name in self.tokenizers]
        return jobs


def matched_epochs(recipe: TrainingConfig, size: int, total: int) -> int:
    """Epochs over `size` examples that come nearest to the recipe's number of steps over `total` examples.

    Examples
    --------
    >>> matched_epochs(TrainingConfig(epochs=15, batch_size=64), 500, 4000)  # 8 steps each, for 15 of 63
    118
    """
    return max(1, round(recipe.epochs * recipe.steps_per_epoch(total) / recipe.steps_per_epoch(size)))


def held_out_images(digits: Digits) -> LabelledImages:
    """The validation and test digits: both are test digits here, since nothing is chosen by the validation digits."""
    a, b = digits.validation, digits.test
    return LabelledImages(np.concatenate([a.images, b.images]), np.concatenate([a.labels, b.labels]))
