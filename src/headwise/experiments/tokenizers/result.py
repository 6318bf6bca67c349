"""The numbers of the tokenizer experiment, from which tables, figures and findings are made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from headwise.experiments.statistics import ALPHA, Interval, sign_flip_test, t_interval
from headwise.experiments.tokenizers.costs import Cost
from headwise.experiments.tokenizers.training import DIRECTIONS
from headwise.models.vit import ViTConfig
from headwise.shapes import Array, IntArray
from headwise.train.config import TrainingConfig


@dataclass(frozen=True)
class TokenizerResult:
    """One tokenizer, trained on all digits with every seed."""

    name: str
    cost: Cost
    step_seconds: float  # median seconds of a training step, with all tokenizers measured alternately
    n_correct: IntArray  # (seeds,): digits classified correctly
    loss: Array  # (seeds,): mean cross-entropy in nats
    n_correct_shifted: IntArray  # (seeds, directions, shifts): digits classified correctly when all are shifted
    similarity: Array  # (N, N): cosines between the learned position embeddings, mean over seeds
    # (seeds,): Spearman's correlation of these cosines with the nearness of two tokens in the upright image, where
    # the location of a token is the mean of its pixels: 1 if nearer tokens always have more similar positions
    locality: Array


@dataclass(frozen=True)
class PairedComparison:
    """One tokenizer compared with another, seed by seed and digit by digit."""

    name: str
    base: str
    extra_correct: IntArray  # (seeds,): digits that `name` classifies correctly minus those of `base`
    # digits that more of its runs, or fewer, classify correctly
    digits_better: int
    digits_worse: int
    # The exact test over digits, each with the difference in the number of runs: about these very models. With one
    # seed it is McNemar's test.
    p_digits: float

    @property
    def p_seeds(self) -> float:
        """The exact test over seeds: about models trained in this way."""
        return sign_flip_test(self.extra_correct.tolist())

    @property
    def verdict(self) -> Literal["better", "worse", "no difference shown"]:
        """By the test over seeds."""
        if self.p_seeds > ALPHA:
            return "no difference shown"
        return "better" if self.extra_correct.sum() > 0 else "worse"


@dataclass(frozen=True)
class TokenizersResult:
    """All tokenizers side by side."""

    # name of the digits, and version of Headwise
    data: str
    version: str
    # training digits, and held-out digits
    n_train: int
    n_test: int
    # what all runs shared, with the first seed and the first tokenizer
    recipe: TrainingConfig
    model: ViTConfig
    entries: tuple[TokenizerResult, ...]
    pairs: tuple[PairedComparison, ...]  # every tokenizer but the first, with its baseline
    sizes: tuple[int, ...]  # of the training sets, ascending
    n_correct_by_size: IntArray  # (tokenizers, sizes, seeds)
    # (directions, shifts): the share of the digits' ink that leaves the image when they are shifted
    foreground_lost: Array
    # for each tokenizer that has the tokens of its baseline in another order: the maximum difference between the
    # logits of the two with relabelled positions, divided by the largest logit
    relabelling_errors: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tokenizers."""
        return tuple(entry.name for entry in self.entries)

    @property
    def seeds(self) -> int:
        """Number of runs of each."""
        return len(self.entries[0].n_correct)

    @property
    def parameter_excess(self) -> float:
        """By what fraction the largest model has more parameters than the smallest."""
        totals = [entry.cost.total for entry in self.entries]
        return max(totals) / min(totals) - 1

    def entry(self, name: str) -> TokenizerResult:
        """The tokenizer of this name."""
        return self.entries[self.names.index(name)]

    def accuracy(self, name: str) -> Interval:
        """Share of digits classified correctly: mean over seeds with Student's interval."""
        return t_interval(self.entry(name).n_correct / self.n_test)

    def difference(self, pair: PairedComparison) -> Interval:
        """Mean difference in accuracy over seeds with Student's interval."""
        return t_interval(pair.extra_correct / self.n_test)

    def shift_loss(self, name: str) -> IntArray:
        """(seeds, directions, shifts): by how many digits shifting lowers the number classified correctly."""
        entry = self.entry(name)
        return entry.n_correct[:, None, None] - entry.n_correct_shifted

    def shift_loss_points(self, name: str, direction: str) -> float:
        """Percentage points by which a shift lowers the accuracy, mean over seeds and distances."""
        return 100 * float(self.shift_loss(name)[:, list(DIRECTIONS).index(direction)].mean()) / self.n_test

    def extra_shift_loss(self, pair: PairedComparison, direction: str) -> IntArray:
        """(seeds,): how many more digits a shift costs `pair.name` than `pair.base`, summed over distances."""
        i = list(DIRECTIONS).index(direction)
        return np.asarray((self.shift_loss(pair.name) - self.shift_loss(pair.base))[:, i].sum(axis=1))

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return dict(json.loads(json.dumps(asdict(self), default=np.ndarray.tolist)))


def baselines(names: Sequence[str]) -> dict[str, str]:
    """The baseline of each tokenizer: for a shuffled one the same tokenizer of the upright image, else the first.

    Examples
    --------
    >>> baselines(["7x7", "rows", "scrambled-rows", "scrambled-4x4"])
    {'rows': '7x7', 'scrambled-rows': 'rows', 'scrambled-4x4': '7x7'}
    """
    upright = {name: name.partition("-")[2] for name in names}
    return {name: upright[name] if upright[name] in names else names[0] for name in names[1:]}
