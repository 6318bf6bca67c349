"""What an audit found, as numbers: all that its tables, figures and sentences are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np

from headwise import __version__
from headwise.experiments.faithfulness.heads import Heads
from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.per_image import CHANCE, KINDS, ORDERS, DigitAudit
from headwise.experiments.faithfulness.randomization import randomization_stages
from headwise.experiments.faithfulness.resampling import bootstrap, bootstrap_crossed, holm, sign_flip_tests
from headwise.experiments.statistics import ALPHA
from headwise.metrics.perturbation import auc, comprehensiveness, sufficiency
from headwise.models.token_ablation import ABLATIONS
from headwise.models.vit import ViTConfig
from headwise.shapes import Array

__all__ = ["CRITERIA", "MEASURES", "SHAPLEY", "Audit", "Criterion", "Test"]


MEASURES = {  # 1 where more is better, −1 where less is
    "deletion": -1,
    "insertion": 1,
    "comprehensiveness": 1,
    "sufficiency": -1,
}
SHAPLEY = "Shapley"


@dataclass(frozen=True)
class Criterion:
    """What maps are judged by: a measure, and what a missing token is."""

    measure: str
    missing: str

    @property
    def sign(self) -> int:
        """1 where more is better, −1 where less is."""
        return MEASURES.get(self.measure, 1)


CRITERIA = (
    *(Criterion(measure, missing) for missing in ABLATIONS for measure in MEASURES),
    Criterion(SHAPLEY, "removed"),
)


@dataclass(frozen=True)
class Test:
    """One kind of map beside another by one criterion, over all digits.

    Attributes
    ----------
    kind, other : str
    criterion : Criterion
    better, low, high : float
        How much better `kind` is, in the criterion's own units, the mean over digits; and its interval.
    p : float
        Of the sign-flip test, after Holm's correction for all tests of the same question.
    """

    kind: str
    other: str
    criterion: Criterion
    better: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> Literal["better", "worse", "not shown"]:
        """By the corrected test."""
        return "not shown" if self.p > ALPHA else "better" if self.better > 0 else "worse"


@dataclass(frozen=True)
class Audit:
    """An audit of a model's attention maps.

    Attributes
    ----------
    model : ViT
    trained_on, data : str
        Which digits the model was trained on, as far as its weights say, and which it was audited on.
    apart : bool
        Whether it is known that it was not trained on these.
    seed : int
    chosen : tuple of int
        Which of the data's test digits.
    digits : tuple of DigitAudit
    heads : Heads
        On the same digits.
    sanity : ndarray of shape (draws, stages, kinds, digits)
        Rank correlation of each kind of map, in the order of `MAPS`, with that of the partly random model, of as many
        of the digits as were looked at.
    """

    model: ViTConfig
    trained_on: str
    data: str
    apart: bool
    seed: int
    chosen: tuple[int, ...]
    digits: tuple[DigitAudit, ...]
    heads: Heads
    sanity: Array

    @cached_property
    def curves(self) -> Array:
        """(digits, kinds + 1, missing, 2, N + 1): deletion and insertion; the last kind is chance."""
        return np.stack([digit.curves for digit in self.digits])

    @cached_property
    def scores(self) -> Array:
        """(digits, kinds + 1, criteria): every kind, chance last, by every one of `CRITERIA`."""
        deleted, inserted = self.curves[..., 0, :], self.curves[..., 1, :]
        by_measure = [auc(deleted), auc(inserted), comprehensiveness(deleted), sufficiency(inserted)]
        games = np.stack(by_measure, axis=-1).reshape(*self.curves.shape[:2], -1)  # missing, then measure
        ranks = np.zeros((*games.shape[:2], 1))  # those of random orders correlate with nothing
        ranks[:, :-1, 0] = [digit.shapley for digit in self.digits]
        return np.concatenate([games, ranks], axis=-1)

    @cached_property
    def means(self) -> Array:
        """(3, kinds + 1, criteria): mean over digits, and its interval."""
        return bootstrap(self.scores, self._rng(1))

    @cached_property
    def gains(self) -> Array:
        """(3, kinds, criteria): how much better than chance, the mean over digits, and its interval."""
        return bootstrap(self._better(np.s_[:-1], np.s_[-1:]), self._rng(2))

    @cached_property
    def survivals(self) -> Array:
        """(3, stages, kinds): mean of `sanity`, and its interval over draws and digits."""
        return bootstrap_crossed(np.moveaxis(self.sanity, -1, 1), self._rng(3))

    @cached_property
    def against_chance(self) -> tuple[Test, ...]:
        """Every kind but the Shapley values, and the ink and the control, against random orders."""
        return self._tests([(kind, CHANCE) for kind in (*MAPS, "ink", "uniform")], 4)

    @cached_property
    def against_ink(self) -> tuple[Test, ...]:
        """Every kind of map against the order of the ink."""
        return self._tests([(kind, "ink") for kind in MAPS], 5)

    @cached_property
    def against_each_other(self) -> tuple[Test, ...]:
        """Every two kinds of map, each pair once."""
        return self._tests(list(combinations(MAPS, 2)), 6)

    def of(self, kind: str) -> int:
        """Where a kind, or chance, is in `scores` and `curves`."""
        return (*KINDS, CHANCE).index(kind)

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        criteria = [asdict(criterion) for criterion in CRITERIA]
        questions = {"chance": self.against_chance, "ink": self.against_ink, "each other": self.against_each_other}
        return {
            "version": __version__,
            "model": asdict(self.model),
            "trained_on": self.trained_on,
            "data": self.data,
            "apart": self.apart,
            "digits": len(self.digits),
            "orders": ORDERS,
            "seed": self.seed,
            "shapley_error": float(np.mean([digit.error for digit in self.digits])),
            "criteria": criteria,
            "scores": {kind: self.means[:, self.of(kind)].tolist() for kind in (*KINDS, CHANCE)},
            "first": np.mean([digit.first for digit in self.digits], axis=0).tolist(),
            "tests": {name: [{**asdict(t), "verdict": t.verdict} for t in tests] for name, tests in questions.items()},
            "heads": {
                "importance": self.heads.importance.tolist(),
                "right": self.heads.right,
                "loss": self.heads.loss,
                "right_without": self.heads.right_without.tolist(),
                "loss_without": self.heads.loss_without.tolist(),
                "best": self.heads.best,
            },
            "sanity": {
                "digits": self.sanity.shape[-1],
                "draws": len(self.sanity),
                "stages": list(randomization_stages(self.model)),
                "correlations": {kind: self.survivals[:, :, i].tolist() for i, kind in enumerate(MAPS)},
            },
        }

    def _better(self, kinds: Any, others: Any) -> Array:
        """(digits, kinds, criteria): by how much, so that more is better."""
        signs = np.array([criterion.sign for criterion in CRITERIA])
        return np.asarray((self.scores[:, kinds] - self.scores[:, others]) * signs)

    def _tests(self, pairs: Sequence[tuple[str, str]], question: int) -> tuple[Test, ...]:
        kinds, others = ([self.of(name) for name in side] for side in zip(*pairs, strict=True))
        better = self._better(kinds, others)  # (digits, pairs, criteria)
        rng = self._rng(question)
        bounds = bootstrap(better, rng)
        p = holm(sign_flip_tests(better.reshape(len(better), -1), rng)).reshape(len(pairs), -1)

        def each() -> Iterator[Test]:
            for i, (kind, other) in enumerate(pairs):
                for j, criterion in enumerate(CRITERIA):
                    better, low, high = bounds[:, i, j].tolist()
                    yield Test(kind, other, criterion, better, low, high, float(p[i, j]))

        return tuple(each())

    def _rng(self, part: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, part, 40])
