"""What a comparison found, as numbers: all that tables, figures and sentences are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from headwise.experiments.statistics import ALPHA, Interval, sign_flip_test, t_interval
from headwise.experiments.tokenizers.costs import Cost
from headwise.experiments.tokenizers.store import DIRECTIONS
from headwise.models.vit import ViTConfig
from headwise.shapes import Array, IntArray
from headwise.train.config import TrainingConfig

__all__ = ["Comparison", "PairedComparison", "TokenizerResult", "baselines"]


@dataclass(frozen=True)
class TokenizerResult:
    """One tokenisation, trained on all digits with every seed.

    Attributes
    ----------
    name : str
    cost : Cost
    step : float
        Median seconds of a training step, all tokenisations measured in turns.
    right : ndarray of int of shape (seeds,)
        Digits read correctly.
    loss : ndarray of shape (seeds,)
        Mean cross-entropy in nats.
    moved : ndarray of int of shape (seeds, directions, shifts)
        Digits read correctly when all are moved.
    similarity : ndarray of shape (N, N)
        Cosines between the learned position embeddings, mean over seeds.
    nearness : ndarray of shape (seeds,)
        Rank correlation (Spearman) of these cosines with how near two tokens are in the upright image, each being where
        the mean of its pixels is: 1 if the nearer are always the more alike.
    """

    name: str
    cost: Cost
    step: float
    right: IntArray
    loss: Array
    moved: IntArray
    similarity: Array
    nearness: Array


@dataclass(frozen=True)
class PairedComparison:
    """One tokenisation beside another, seed by seed and digit by digit.

    Attributes
    ----------
    name, base : str
    more : ndarray of int of shape (seeds,)
        Digits that `name` reads correctly more than `base` does.
    digits_better, digits_worse : int
        Digits that more of its runs, or fewer, read correctly.
    p_digits : float
        Of the exact test over digits, each with the difference in how many runs read it: what is shown for these very
        models. With one seed it is McNemar's.
    """

    name: str
    base: str
    more: IntArray
    digits_better: int
    digits_worse: int
    p_digits: float

    @property
    def p_seeds(self) -> float:
        """Of the exact test over seeds: what is shown for models trained so."""
        return sign_flip_test(self.more.tolist())

    @property
    def verdict(self) -> Literal["better", "worse", "no difference shown"]:
        """By the test over seeds."""
        if self.p_seeds > ALPHA:
            return "no difference shown"
        return "better" if self.more.sum() > 0 else "worse"


@dataclass(frozen=True)
class Comparison:
    """All tokenisations side by side.

    Attributes
    ----------
    data, version : str
        Which digits, and of Headwise.
    trained_on, tested_on : int
        Digits.
    recipe, model : Recipe, ViT
        What all runs shared, with the first seed and the first tokenisation's name in them.
    entries : tuple of Entry
    pairs : tuple of Pair
        Every tokenisation but the first, with what it is compared with.
    sizes : tuple of int
        Of the training sets, from small to all.
    by_size : ndarray of int of shape (tokenisations, sizes, seeds)
        Digits read correctly.
    ink_lost : ndarray of shape (directions, shifts)
        The share of the judged digits' ink that leaves the image when they are moved.
    relabelled : dict of str to float
        For each cut of reordered rows that is a relabelling of the plain one: the largest deviation between the logits
        of the two when the positions are relabelled too, over the largest logit.
    """

    data: str
    version: str
    trained_on: int
    tested_on: int
    recipe: TrainingConfig
    model: ViTConfig
    entries: tuple[TokenizerResult, ...]
    pairs: tuple[PairedComparison, ...]
    sizes: tuple[int, ...]
    by_size: IntArray
    ink_lost: Array
    relabelled: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tokenisations."""
        return tuple(entry.name for entry in self.entries)

    @property
    def seeds(self) -> int:
        """Runs of each."""
        return len(self.entries[0].right)

    @property
    def budget(self) -> float:
        """By how much the largest model exceeds the smallest in weights, as a share."""
        totals = [entry.cost.total for entry in self.entries]
        return max(totals) / min(totals) - 1

    def entry(self, name: str) -> TokenizerResult:
        """The tokenisation of this name."""
        return self.entries[self.names.index(name)]

    def accuracy(self, name: str) -> Interval:
        """Share of digits read correctly: mean over seeds with Student's interval."""
        return t_interval(self.entry(name).right / self.tested_on)

    def difference(self, pair: PairedComparison) -> Interval:
        """Mean difference in accuracy over seeds with Student's interval."""
        return t_interval(pair.more / self.tested_on)

    def lost(self, name: str) -> IntArray:
        """(seeds, directions, shifts): digits that are no longer read correctly, net, when all are moved."""
        entry = self.entry(name)
        return entry.right[:, None, None] - entry.moved

    def points_lost(self, name: str, direction: str) -> float:
        """By how many points a move lowers the accuracy, mean over seeds and distances."""
        return 100 * float(self.lost(name)[:, list(DIRECTIONS).index(direction)].mean()) / self.tested_on

    def costlier(self, pair: PairedComparison, direction: str) -> IntArray:
        """(seeds,): how many more digits a move costs `pair.name` than `pair.base`, all distances together."""
        along = list(DIRECTIONS).index(direction)
        return np.asarray((self.lost(pair.name) - self.lost(pair.base))[:, along].sum(axis=1))

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return dict(_plain(asdict(self)))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Comparison:
        """The inverse of `to_json`."""
        entries = tuple(
            TokenizerResult(
                **{**_arrays(each, "right", "loss", "moved", "similarity", "nearness"), "cost": Cost(**each["cost"])}
            )
            for each in content["entries"]
        )
        pairs = tuple(PairedComparison(**_arrays(each, "more")) for each in content["pairs"])
        whole = _arrays(content, "by_size", "ink_lost")
        model = ViTConfig(**{**content["model"], "image_size": tuple(content["model"]["image_size"])})
        shared = {"recipe": TrainingConfig(**content["recipe"]), "model": model}
        return cls(**{**whole, **shared, "entries": entries, "pairs": pairs, "sizes": tuple(content["sizes"])})


def baselines(names: Sequence[str]) -> dict[str, str]:
    """What each tokenisation is compared with: a rearranged one with the same cut of the upright image, else the first.

    Examples
    --------
    >>> baselines(["7x7", "rows", "scrambled-rows", "scrambled-4x4"])
    {'rows': '7x7', 'scrambled-rows': 'rows', 'scrambled-4x4': '7x7'}
    """
    upright = {name: name.partition("-")[2] for name in names}
    return {name: upright[name] if upright[name] in names else names[0] for name in names[1:]}


def _plain(value: Any) -> Any:
    """Arrays as lists, all the way down."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _arrays(content: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**content, **{name: np.array(content[name]) for name in names}}
