"""What is to be trained: every tokenisation with every seed, on training sets of every size."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from headwise import __version__
from headwise.data.mnist import Digits, LabelledImages, load_bundled_mnist, load_mnist
from headwise.errors import DataError
from headwise.experiments.results_cache import config_digest
from headwise.hashing import fingerprint
from headwise.models.vit import ViTConfig
from headwise.train.config import TrainingConfig
from headwise.validation import check_counts, check_unique

__all__ = ["DEFAULT", "Job", "Plan", "digits_of", "held_out_images", "matched_epochs"]

DEFAULT = ("7x7", "4x4", "rows", "scrambled-7x7")
_MODEL, _RECIPE = ViTConfig(), TrainingConfig(epochs=15)


@dataclass(frozen=True)
class Job:
    """One run, and all that it depends on.

    Attributes
    ----------
    model, recipe : ViT, Recipe
        The seed is the recipe's.
    size : int
        Training digits.
    data, digest : str
        Which digits, for a reader and for certain.
    version : str
        Of Headwise.
    """

    model: ViTConfig
    recipe: TrainingConfig
    size: int
    data: str
    digest: str
    version: str = __version__

    @property
    def configuration(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return dict(json.loads(json.dumps(asdict(self))))

    @property
    def identity(self) -> str:
        """A short name that no other configuration has."""
        return config_digest(self.configuration)


@dataclass(frozen=True)
class Plan:
    """Which runs make up a comparison.

    Attributes
    ----------
    tokens : tuple of str
        Names for `headwise.tokenizers.tokeniser`; the others are compared with the first, and a rearranged one with the
        same cut of the upright image where that is there.
    seeds : int
        Runs of each; with seed s the same digits come in the same order, moved alike, whatever the tokenisation. With n
        seeds the exact test cannot give less than 2¹⁻ⁿ: six are the least that can reach 0.05.
    sizes : tuple of int
        Training sets smaller than all there is, each with as many steps as the whole, to the nearest whole pass.
    model, recipe : ViT, Recipe
        What all runs share.

    Raises
    ------
    DataError
        If there is nothing to compare, or something twice.
    ShapeError
        If an image cannot be cut so.
    """

    tokens: tuple[str, ...] = DEFAULT
    seeds: int = 6
    sizes: tuple[int, ...] = ()
    model: ViTConfig = _MODEL
    recipe: TrainingConfig = _RECIPE

    def __post_init__(self) -> None:
        for name in self.tokens:
            self.of(name)
        check_unique(tokens=self.tokens, sizes=self.sizes)
        if len(self.tokens) < 2:
            raise DataError(f"tokens: expected two or more to compare; got {', '.join(self.tokens) or 'none'}.")
        check_counts(seeds=self.seeds)

    def of(self, tokens: str) -> ViTConfig:
        """The model that cuts its images so."""
        return replace(self.model, tokenizer=tokens)

    def jobs(self, digits: Digits) -> list[Job]:
        """Seed by seed, so that an interrupted comparison has as many of each tokenisation as can be.

        Raises
        ------
        DataError
            If a size is not below the number of training digits.
        """
        whole, digest = len(digits.train.labels), fingerprint(*digits.train, *digits.validation, *digits.test)
        for size in self.sizes:
            if not 1 <= size < whole:
                raise DataError(f"sizes: expected 1 to {whole - 1}, fewer than all training digits; got {size}.")
        return [
            Job(self.of(tokens), self._recipe(seed, size, whole), size, digits.name, digest)
            for seed in range(self.seeds)
            for size in (whole, *self.sizes)
            for tokens in self.tokens
        ]

    def _recipe(self, seed: int, size: int, whole: int) -> TrainingConfig:
        return replace(self.recipe, seed=self.recipe.seed + seed, epochs=matched_epochs(self.recipe, size, whole))


def matched_epochs(recipe: TrainingConfig, size: int, whole: int) -> int:
    """Over so many digits, to come nearest to as many steps as the recipe has over the whole.

    Examples
    --------
    >>> matched_epochs(TrainingConfig(epochs=15, batch_size=64), 500, 4000)  # of 8 steps, where the whole has 15 of 63
    118
    """
    return max(1, round(recipe.epochs * recipe.steps_per_epoch(whole) / recipe.steps_per_epoch(size)))


@lru_cache(maxsize=1)
def digits_of(folder: Path | None = None) -> Digits:
    """MNIST from a folder of idx files, or else the bundled digits; kept in memory, for one run after another."""
    return load_bundled_mnist() if folder is None else load_mnist(folder, n_validation=0)


def held_out_images(digits: Digits) -> LabelledImages:
    """All digits that are not trained on: since no choice is made by the validation digits, they judge too."""
    parts = digits.validation, digits.test
    return LabelledImages(
        np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts])
    )
