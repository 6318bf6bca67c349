"""The numbers of the faithfulness experiment, from which tables, figures and findings are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np

from headwise import __version__
from headwise.experiments.faithfulness.heads import HeadImportance
from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.per_image import CHANCE, RANDOM_ORDERS, RANKINGS, ImageResult
from headwise.experiments.faithfulness.randomization import randomization_stages
from headwise.experiments.faithfulness.resampling import bootstrap, bootstrap_crossed, holm, sign_flip_tests
from headwise.experiments.statistics import ALPHA
from headwise.metrics.perturbation import auc, comprehensiveness, sufficiency
from headwise.models.token_ablation import ABLATIONS
from headwise.models.vit import ViTConfig
from headwise.shapes import Array

__all__ = ["CRITERIA", "MEASURES", "SHAPLEY", "Criterion", "FaithfulnessResult", "RankingTest"]


MEASURES = {  # 1 if more is better, −1 if less is
    "deletion": -1,
    "insertion": 1,
    "comprehensiveness": 1,
    "sufficiency": -1,
}
SHAPLEY = "Shapley"


@dataclass(frozen=True)
class Criterion:
    """A measure, and what takes the place of a missing token."""

    measure: str
    ablation: str

    @property
    def sign(self) -> int:
        """1 if more is better, −1 if less is."""
        return MEASURES.get(self.measure, 1)


CRITERIA = (
    *(Criterion(measure, ablation) for ablation in ABLATIONS for measure in MEASURES),
    Criterion(SHAPLEY, "removed"),
)


@dataclass(frozen=True)
class RankingTest:
    """One ranking of the tokens compared with another by one criterion, over all digits.

    Attributes
    ----------
    ranking, other : str
    criterion : Criterion
    gain, low, high : float
        By how much `ranking` is better, in the criterion's units, mean over digits; and its interval.
    p : float
        Of the sign-flip test, after Holm's correction for all tests of the same question.
    """

    ranking: str
    other: str
    criterion: Criterion
    gain: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> Literal["better", "worse", "not shown"]:
        """By the corrected test."""
        return "not shown" if self.p > ALPHA else "better" if self.gain > 0 else "worse"


@dataclass(frozen=True)
class FaithfulnessResult:
    """The maps of one model, compared on its digits.

    Attributes
    ----------
    model : ViTConfig
    trained_on, data : str
        Digits that the model was trained on, as far as its metadata names them, and digits used here.
    held_out : bool
        Whether it is known that the model was not trained on the digits used here.
    seed : int
    indices : tuple of int
        The chosen digits of the data.
    images : tuple of ImageResult
    heads : HeadImportance
        On the same digits.
    randomization : ndarray of shape (draws, stages, maps, digits)
        Spearman's correlation of each map, in the order of `MAPS`, with that of the partly randomized model, on the
        first of the digits.
    """

    model: ViTConfig
    trained_on: str
    data: str
    held_out: bool
    seed: int
    indices: tuple[int, ...]
    images: tuple[ImageResult, ...]
    heads: HeadImportance
    randomization: Array

    @cached_property
    def curves(self) -> Array:
        """(digits, rankings + 1, ablations, 2, N + 1): deletion and insertion; the last ranking is chance."""
        return np.stack([image.curves for image in self.images])

    @cached_property
    def scores(self) -> Array:
        """(digits, rankings + 1, criteria): every ranking, chance last, by every one of `CRITERIA`."""
        deletion, insertion = self.curves[..., 0, :], self.curves[..., 1, :]
        by_measure = [auc(deletion), auc(insertion), comprehensiveness(deletion), sufficiency(insertion)]
        areas = np.stack(by_measure, axis=-1).reshape(*self.curves.shape[:2], -1)  # ablation, then measure
        correlations = np.zeros((*areas.shape[:2], 1))  # those of random orders are zero
        correlations[:, :-1, 0] = [image.shapley_correlation for image in self.images]
        return np.concatenate([areas, correlations], axis=-1)

    @cached_property
    def means(self) -> Array:
        """(3, rankings + 1, criteria): mean over digits, and its interval."""
        return bootstrap(self.scores, self._rng(1))

    @cached_property
    def gains(self) -> Array:
        """(3, rankings, criteria): by how much better than chance, mean over digits, and its interval."""
        return bootstrap(self._gain(np.s_[:-1], np.s_[-1:]), self._rng(2))

    @cached_property
    def randomized_similarity(self) -> Array:
        """(3, stages, maps): mean of `randomization`, and its interval over draws and digits."""
        return bootstrap_crossed(np.moveaxis(self.randomization, -1, 1), self._rng(3))

    @cached_property
    def against_chance(self) -> tuple[RankingTest, ...]:
        """Every map, the ink and the control against random orders."""
        return self._tests([(name, CHANCE) for name in (*MAPS, "ink", "uniform")], 4)

    @cached_property
    def against_ink(self) -> tuple[RankingTest, ...]:
        """Every map against the order of the ink."""
        return self._tests([(name, "ink") for name in MAPS], 5)

    @cached_property
    def against_each_other(self) -> tuple[RankingTest, ...]:
        """Every two maps, each pair once."""
        return self._tests(list(combinations(MAPS, 2)), 6)

    def index(self, ranking: str) -> int:
        """The index of a ranking, or of chance, in `scores` and `curves`."""
        return (*RANKINGS, CHANCE).index(ranking)

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        questions = {"chance": self.against_chance, "ink": self.against_ink, "each other": self.against_each_other}
        heads = {name: getattr(value, "tolist", lambda v=value: v)() for name, value in vars(self.heads).items()}
        similarity = {name: self.randomized_similarity[:, :, i].tolist() for i, name in enumerate(MAPS)}
        return {
            "version": __version__,
            "model": asdict(self.model),
            "trained_on": self.trained_on,
            "data": self.data,
            "held_out": self.held_out,
            "digits": len(self.images),
            "random_orders": RANDOM_ORDERS,
            "seed": self.seed,
            "shapley_error": float(np.mean([image.shapley_error for image in self.images])),
            "criteria": [asdict(criterion) for criterion in CRITERIA],
            "scores": {name: self.means[:, self.index(name)].tolist() for name in (*RANKINGS, CHANCE)},
            "n_tied_first": np.mean([image.n_tied_first for image in self.images], axis=0).tolist(),
            "tests": {
                name: [{**asdict(test), "verdict": test.verdict} for test in tests] for name, tests in questions.items()
            },
            "heads": {**heads, "best": self.heads.best},
            "randomization": {
                "digits": self.randomization.shape[-1],
                "draws": len(self.randomization),
                "stages": list(randomization_stages(self.model)),
                "correlations": similarity,
            },
        }

    def _gain(self, rankings: Any, others: Any) -> Array:
        """(digits, rankings, criteria): by how much better, with the sign such that more is better."""
        signs = np.array([criterion.sign for criterion in CRITERIA])
        return np.asarray((self.scores[:, rankings] - self.scores[:, others]) * signs)

    def _tests(self, pairs: Sequence[tuple[str, str]], question: int) -> tuple[RankingTest, ...]:
        rankings, others = ([self.index(name) for name in side] for side in zip(*pairs, strict=True))
        gain = self._gain(rankings, others)  # (digits, pairs, criteria)
        rng = self._rng(question)
        bounds = bootstrap(gain, rng)
        p = holm(sign_flip_tests(gain.reshape(len(gain), -1), rng)).reshape(len(pairs), -1)
        return tuple(
            RankingTest(
                ranking,
                other,
                criterion,
                gain=float(bounds[0, i, j]),
                low=float(bounds[1, i, j]),
                high=float(bounds[2, i, j]),
                p=float(p[i, j]),
            )
            for i, (ranking, other) in enumerate(pairs)
            for j, criterion in enumerate(CRITERIA)
        )

    def _rng(self, part: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, part, 40])
