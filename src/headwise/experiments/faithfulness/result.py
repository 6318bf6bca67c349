"""The numbers of the faithfulness experiment, from which tables, figures and findings are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np

from headwise import __version__
from headwise.attribution import Recommendation
from headwise.experiments.faithfulness.heads import HeadImportance
from headwise.experiments.faithfulness.per_input import RANDOM_ORDERS, InputResult
from headwise.experiments.faithfulness.scope import CHANCE, Criterion, Scope
from headwise.experiments.statistics import ALPHA, bootstrap, bootstrap_crossed, sign_flip_tests
from headwise.metrics import holm
from headwise.shapes import Array


@dataclass(frozen=True)
class RankingTest:
    """One ranking of the tokens compared with another by one criterion, over all inputs."""

    ranking: str
    other: str
    criterion: Criterion
    # by how much `ranking` is better, in the criterion's units, mean over inputs; and its interval
    gain: float
    low: float
    high: float
    p: float  # of the sign-flip test, after Holm's correction for all tests of the same question

    @property
    def verdict(self) -> Literal["better", "worse", "not shown"]:
        """By the corrected test."""
        return "not shown" if self.p > ALPHA else "better" if self.gain > 0 else "worse"


@dataclass(frozen=True)
class ModelSummary:
    """Name and size of the examined model, its fingerprint, and the largest number of players of an input."""

    name: str
    layers: int
    heads: int
    fingerprint: str
    players: int


@dataclass(frozen=True)
class FaithfulnessResult:
    """The maps of one model, compared on its inputs."""

    scope: Scope
    model: ModelSummary
    # what the model was trained on, as far as it is known, and the data used here
    trained_on: str
    data: str
    noun: str  # what the inputs are, in the plural
    held_out: bool  # whether it is known that the model was not trained on the inputs used here
    seed: int
    indices: tuple[int, ...]  # the chosen inputs of the data
    inputs: tuple[InputResult, ...]
    labelled: bool  # whether the model's classes are those of the data
    heads: HeadImportance | None  # on the same inputs; None if the model's gradients are not available
    stages: tuple[str, ...]  # what is randomized, from the head down; empty if the parameters are not available
    # (draws, stages, cheap maps, inputs): Spearman's correlation of each map with that of the partly randomized
    # model, on the first of the inputs
    randomization: Array
    randomized_maps: tuple[str, ...]  # those maps: the ones of at most one forward and one backward pass

    @cached_property
    def curves(self) -> Array:
        """(rankings + 1, ablations, 2, P + 1): mean deletion and insertion; the last ranking is chance.

        Curves of inputs with fewer players are interpolated.
        """
        share = np.linspace(0, 1, self.model.players + 1)

        def stretched(curves: Array) -> Array:
            positions = np.linspace(0, 1, curves.shape[-1])
            flat = [np.interp(share, positions, curve) for curve in curves.reshape(-1, curves.shape[-1])]
            return np.reshape(flat, (*curves.shape[:-1], len(share)))

        return np.asarray(np.mean([stretched(item.curves) for item in self.inputs], axis=0))

    @cached_property
    def scores(self) -> Array:
        """(inputs, rankings + 1, criteria): every ranking, chance last, by every criterion."""
        return np.stack([item.scores for item in self.inputs])

    @cached_property
    def means(self) -> Array:
        """(3, rankings + 1, criteria): mean over inputs, and its interval."""
        return bootstrap(self.scores, self._rng(1))

    @cached_property
    def gains(self) -> Array:
        """(3, rankings, criteria): by how much better than chance, mean over inputs, and its interval."""
        return bootstrap(self._gain(np.s_[:-1], np.s_[-1:]), self._rng(2))

    @cached_property
    def randomized_similarity(self) -> Array:
        """(3, stages, maps): mean of `randomization`, and its interval over draws and inputs."""
        return bootstrap_crossed(np.moveaxis(self.randomization, -1, 1), self._rng(3))

    @cached_property
    def against_chance(self) -> tuple[RankingTest, ...]:
        """Every map, the baseline and the control against random orders."""
        return self._tests([(name, CHANCE) for name in self.scope.rankings], 4)

    @cached_property
    def against_baseline(self) -> tuple[RankingTest, ...]:
        """Every map against the order of the baseline."""
        return self._tests([(name, self.scope.baseline) for name in self.scope.maps], 5)

    @cached_property
    def against_each_other(self) -> tuple[RankingTest, ...]:
        """Every two candidates, each pair once."""
        return self._tests(list(combinations(self.scope.candidates, 2)), 6)

    def index(self, ranking: str) -> int:
        """The index of a ranking, or of chance, in `scores` and `curves`."""
        return (*self.scope.rankings, CHANCE).index(ranking)

    @cached_property
    def recommendation(self) -> Recommendation:
        """The map with the largest insertion area less deletion area, mean over ablations; of the candidates."""
        candidates = self.scope.candidates
        net = self._net(candidates)  # (inputs, candidates)
        best = int(net.mean(axis=0).argmax())
        rng = self._rng(7)
        resamples = rng.integers(len(net), size=(2000, len(net)))
        wins = float((net[resamples].mean(axis=1).argmax(axis=1) == best).mean())
        gain = (net[:, best] - self._net([self.scope.baseline])[:, 0])[:, None]
        mean, low, high = (float(value) for value in bootstrap(gain, rng)[:, 0])
        p = float(sign_flip_tests(gain, rng)[0])
        return Recommendation(
            candidates[best], wins, (mean, low, high), p, len(self.inputs), self.data, self.model.fingerprint
        )

    def _net(self, rankings: Sequence[str]) -> Array:
        """(inputs, rankings): insertion area less deletion area, mean over ablations."""
        signs = {"insertion": 1, "deletion": -1}
        columns = [(j, signs[c.measure]) for j, c in enumerate(self.scope.criteria) if c.measure in signs]
        rows = [self.index(name) for name in rankings]
        total = sum(sign * self.scores[:, rows, j] for j, sign in columns)
        return np.asarray(total / len(self.scope.ablations))

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        questions = {
            "chance": self.against_chance, "baseline": self.against_baseline, "each other": self.against_each_other,
        }  # fmt: skip
        content: dict[str, Any] = {
            "version": __version__,
            "model": asdict(self.model),
            "trained_on": self.trained_on,
            "data": self.data,
            "held_out": self.held_out,
            "count": len(self.inputs),
            "random_orders": RANDOM_ORDERS,
            "seed": self.seed,
            "scope": {"maps": self.scope.maps, "baseline": self.scope.baseline, "ablations": self.scope.ablations},
            "criteria": [asdict(criterion) for criterion in self.scope.criteria],
            "scores": {name: self.means[:, self.index(name)].tolist() for name in (*self.scope.rankings, CHANCE)},
            "n_tied_first": np.mean([item.n_tied_first for item in self.inputs], axis=0).tolist(),
            "tests": {
                name: [{**asdict(test), "verdict": test.verdict} for test in tests] for name, tests in questions.items()
            },
            "recommendation": asdict(self.recommendation),
        }
        if self.heads is not None:
            heads = {name: getattr(value, "tolist", lambda v=value: v)() for name, value in vars(self.heads).items()}
            content["heads"] = {**heads, "best": self.heads.best}
        if self.stages:
            similarity = np.moveaxis(self.randomized_similarity, -1, 0).tolist()  # (maps, 3, stages)
            content["randomization"] = {
                "inputs": self.randomization.shape[-1],
                "draws": len(self.randomization),
                "stages": self.stages,
                "correlations": dict(zip(self.randomized_maps, similarity, strict=True)),
            }
        return content

    def _gain(self, rankings: Any, others: Any) -> Array:
        """(inputs, rankings, criteria): by how much better, with the sign such that more is better."""
        signs = np.array([criterion.sign for criterion in self.scope.criteria])
        return np.asarray((self.scores[:, rankings] - self.scores[:, others]) * signs)

    def _tests(self, pairs: Sequence[tuple[str, str]], question: int) -> tuple[RankingTest, ...]:
        if not pairs:
            return ()
        rankings, others = ([self.index(name) for name in side] for side in zip(*pairs, strict=True))
        gain = self._gain(rankings, others)  # (inputs, pairs, criteria)
        rng = self._rng(question)
        bounds = bootstrap(gain, rng)
        p = holm(sign_flip_tests(gain.reshape(len(gain), -1), rng)).reshape(len(pairs), -1)
        return tuple(
            RankingTest(ranking, other, criterion, *map(float, (*bounds[:, i, j], p[i, j])))
            for i, (ranking, other) in enumerate(pairs)
            for j, criterion in enumerate(self.scope.criteria)
        )

    def _rng(self, part: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, part, 40])
