"""The plan of the study: which models are compared with which, on which data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from headwise.experiments.tokenizers.costs import cost, multiply_adds
from headwise.models.vit import ViTConfig
from headwise.train.config import TrainingConfig
from headwise.validation import check_counts

_ROWS = ViTConfig(tokenizer="rows", d_model=32, n_layers=2, n_heads=4, d_ff=66)

_TOKENIZERS = ("rows", "4x7", "7x7", "4x4")
# what is compared with rows, under the same name for every data set
COMPARISONS = {
    "equal tokens": ("rows", "4x7"),
    "equal parameters": ("rows", "7x7", "4x4"),
    "equal compute": ("rows", "7x7 wide", "4x4 narrow"),
    "equal parameters, no positions": ("rows unplaced", "7x7 unplaced", "4x4 unplaced"),
    "equal tokens, no positions": ("rows unplaced", "4x7 unplaced"),
}


class Cell(NamedTuple):
    """One model of the study, and whether it has position embeddings."""

    name: str
    model: ViTConfig
    positions: bool


@dataclass(frozen=True)
class RowsPlan:
    """What is trained, on what."""

    data: Mapping[str, Path]  # folders with the four idx files of a data set in MNIST's format, by the data set's name
    # a seed draws the training and validation images, the initial parameters and the order of the images
    seeds: int = 6
    # images of the training set, drawn for each seed; all test images are used
    n_train: int = 4000
    n_validation: int = 1000
    patience: int = 6  # epochs without a lower validation loss after which training stops; the best parameters are used
    # its number of epochs is the most that a run may take
    recipe: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=60, batch_size=100, learning_rate=2e-3, max_shift=0, max_rotation=0
        )
    )

    def __post_init__(self) -> None:
        check_counts(seeds=self.seeds, n_train=self.n_train, n_validation=self.n_validation, patience=self.patience)


def cells() -> tuple[Cell, ...]:
    """Every model of the study.

    Examples
    --------
    >>> [cell.name for cell in cells()][:3]
    ['rows', '4x7', '7x7']
    """
    base = [_with_as_many_parameters(name, positions) for positions in (True, False) for name in _TOKENIZERS]
    return (*base, _with_as_much_compute("7x7", "wide"), _with_as_much_compute("4x4", "narrow"))


def count_parameters(model: ViTConfig, positions: bool) -> int:
    """Parameters that are trained."""
    counted = cost(model)
    return counted.total - (0 if positions else counted.parameters["positions"])


def _with_as_many_parameters(tokenizer: str, positions: bool) -> Cell:
    """The width of the MLP makes up for what the embedding has more or less than that of rows."""
    budget = count_parameters(_ROWS, positions)
    models = [replace(_ROWS, tokenizer=tokenizer, d_ff=width) for width in range(48, 85)]
    model = min(models, key=lambda candidate: abs(count_parameters(candidate, positions) - budget))
    return Cell(tokenizer if positions else f"{tokenizer} unplaced", model, positions)


def _with_as_much_compute(tokenizer: str, adjective: str) -> Cell:
    """The widths with which an image takes as many multiply-adds as in the model of rows."""
    budget = multiply_adds(_ROWS)
    models = [
        replace(_ROWS, tokenizer=tokenizer, d_model=width, d_ff=hidden)
        for width in range(16, 65, _ROWS.n_heads)
        for hidden in range(round(1.25 * width), round(2.25 * width))
    ]
    model = min(models, key=lambda candidate: abs(multiply_adds(candidate) - budget))
    return Cell(f"{tokenizer} {adjective}", model, True)
