"""What is compared: the maps, the baseline of the input, the ways to be missing, and the criteria."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headwise.attribution import MAPS, ablation_names, available_maps
from headwise.data.image_files import read_image
from headwise.errors import DataError
from headwise.metrics.spatial import foreground_fraction
from headwise.models import Model, ViT
from headwise.shapes import Array, BoolArray, IntArray
from headwise.thresholds import INK

CHANCE, UNIFORM, SHAPLEY = "random orders", "uniform", "Shapley"
MEASURES = {  # 1 if more is better, −1 if less is
    "deletion": -1,
    "insertion": 1,
    "comprehensiveness": 1,
    "sufficiency": -1,
}
_EXPENSIVE = ("Shapley values",)
_BASELINES = {"image": "contrast", "text": "word length", "series": "magnitude", "other": "magnitude"}


@dataclass(frozen=True)
class Criterion:
    """A measure, and what takes the place of a missing token."""

    measure: str
    ablation: str

    @property
    def sign(self) -> int:
        """1 if more is better, −1 if less is."""
        return MEASURES.get(self.measure, 1)


@dataclass(frozen=True)
class Scope:
    """Names of everything that is compared."""

    maps: tuple[str, ...]  # keys of `headwise.attribution.MAPS`
    baseline: str  # the order that needs no model: ink, contrast, word length or magnitude
    ablations: tuple[str, ...]  # the first defines the Shapley values

    @property
    def rankings(self) -> tuple[str, ...]:
        """The maps, the baseline, and the uniform control."""
        return (*self.maps, self.baseline, UNIFORM)

    @property
    def candidates(self) -> tuple[str, ...]:
        """Maps that are compared with each other and can be recommended: all but Shapley values, the upper bound."""
        return tuple(name for name in self.maps if name not in _EXPENSIVE)

    @cached_property
    def criteria(self) -> tuple[Criterion, ...]:
        """Every measure with every ablation, and the rank correlation with the Shapley values."""
        pairs = [Criterion(measure, ablation) for ablation in self.ablations for measure in MEASURES]
        return (*pairs, Criterion(SHAPLEY, self.ablations[0]))


def scope_of(model: Model, input: Any, maps: Sequence[str] = ()) -> Scope:
    """What can be compared for a model, or the requested part of it."""
    possible = available_maps(model)
    for name in maps:
        if name not in possible:
            raise DataError(f"--maps: expected some of {', '.join(possible)} for this model; got {name}.")
    if len(set(maps)) < len(maps):
        raise DataError("--maps: expected each map once.")
    names = tuple(name for name in MAPS if name in (maps or possible))
    if set(names) <= set(_EXPENSIVE):
        raise DataError("--maps: expected at least one map besides the Shapley values, which are the upper bound.")
    baseline = "ink" if isinstance(model, ViT) else _BASELINES[model.tokens(input).kind]
    return Scope(names, baseline, ablation_names(model, input))


def baseline_map(model: Model, input: Any, x: Array | None) -> Array:
    """The baseline's value of each token (T,); x is the continuous part of the input, if the model has one.

    Ink is its share of a drawing's patch, contrast the standard deviation of a photograph's patch, word length the
    number of characters, magnitude the distance of a step's values from their mean.
    """
    tokens = model.tokens(input)
    if isinstance(model, ViT):
        tokenizer = model.config.image_tokenizer
        return np.insert(foreground_fraction(tokenizer.permute(input) > INK, tokenizer.boxes), 0, 0.0)
    if tokens.kind == "text":
        return np.where(tokens.prefix, 0.0, np.diff(tokens.locations, axis=1)[:, 0].astype(float))
    if tokens.kind == "image":
        boxes = tokens.locations[~tokens.prefix]
        if isinstance(input, str | Path):
            return _contrast(read_image(Path(input)), boxes, tokens.prefix)
        if x is not None:  # what the model sees begins at the first box
            start, end = boxes[:, :2].min(axis=0), (boxes[:, :2] + boxes[:, 2:]).max(axis=0)
            scale = np.array(x.shape[1:]) / (end - start)
            moved = np.concatenate([boxes[:, :2] - start, boxes[:, 2:]], axis=1) * np.tile(scale, 2)
            return _contrast(x, moved.round().astype(int), tokens.prefix)
    if isinstance(input, np.ndarray) and input.ndim == 2:
        return np.asarray(np.sqrt((input.astype(float) ** 2).sum(axis=1)))
    return np.zeros(len(tokens))


def _contrast(pixels: Array, boxes: IntArray, prefix: BoolArray) -> Array:
    """Standard deviation of the pixels (..., Y, X) in the box of each token, zero for prefix tokens."""
    contrast = np.zeros(len(prefix))
    cells = (pixels[..., top : top + height, left : left + width] for top, left, height, width in boxes)
    contrast[~prefix] = [cell.std(axis=(-2, -1)).mean() for cell in cells]
    return contrast
