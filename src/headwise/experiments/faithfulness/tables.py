"""The tables of the faithfulness experiment: for a reader, and with every number for a program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headwise.document import Table
from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.per_image import CHANCE, RANKINGS
from headwise.experiments.faithfulness.randomization import randomization_stages
from headwise.experiments.faithfulness.result import (
    CRITERIA,
    MEASURES,
    SHAPLEY,
    Criterion,
    FaithfulnessResult,
    RankingTest,
)
from headwise.experiments.statistics import ALPHA
from headwise.metrics.perturbation import auc
from headwise.models.token_ablation import ABLATIONS
from headwise.shapes import Array
from headwise.text import Statement

__all__ = ["count_verdicts", "records", "tables"]

_CONSTANT = 1e-9  # an interval is narrower than this only if the value is constant by definition
_ABBREVIATIONS = {"comprehensiveness": "compr.", "sufficiency": "suff."}
_OPPOSITE = {"better": "worse", "worse": "better", "not shown": "not shown"}


def tables(result: FaithfulnessResult) -> tuple[Table, ...]:
    """For a reader: scores, verdicts, kinds of missing tokens, randomized weights, heads."""
    return _scores(result), _verdicts(result), _ablations(result), _randomization(result), _heads(result)


def records(result: FaithfulnessResult) -> tuple[Table, ...]:
    """For a program: every score with its interval, every test, and the areas of every digit."""
    return _all_scores(result), _all_tests(result), _all_digits(result)


def count_verdicts(tests: Sequence[RankingTest], ranking: str) -> tuple[int, int, int]:
    """In how many tests a ranking is better, in how many worse, and of how many; on either side of a test."""
    verdicts: list[str] = [test.verdict for test in tests if test.ranking == ranking]
    verdicts += [_OPPOSITE[test.verdict] for test in tests if test.other == ranking]
    return verdicts.count("better"), verdicts.count("worse"), len(verdicts)


def _scores(result: FaithfulnessResult) -> Table:
    columns = [j for j, criterion in enumerate(CRITERIA) if criterion.ablation == "removed"]
    mean, low, high = result.means

    def cell(i: int, j: int) -> str:
        width = high[i, j] - low[i, j]
        return f"{mean[i, j]:.2f} ±{width / 2:.2f}" if width > _CONSTANT else "–"

    rows = [(name, *(cell(i, j) for j in columns)) for i, name in enumerate((*RANKINGS, CHANCE))]
    return Table(
        Statement(
            "Missing tokens removed: means over {digits} digits, ± half the {level:.0%} bootstrap interval. Less is "
            "better for deletion and sufficiency, more for the others; the last column is the rank correlation with "
            "the tokens' Shapley values.",
            {"digits": len(result.images), "level": 0.95},
        ),
        ("order of", *(_ABBREVIATIONS.get(CRITERIA[j].measure, CRITERIA[j].measure) for j in columns)),
        tuple(rows),
        "scores",
    )


def _verdicts(result: FaithfulnessResult) -> Table:
    questions = result.against_chance, result.against_ink, result.against_each_other
    rows = []
    for name in (*MAPS, "ink", "uniform"):
        applicable = questions if name in MAPS else questions[:1]
        counts = [count_verdicts(tests, name) for tests in applicable]
        cells = [f"{better} / {worse} of {total}" for better, worse, total in counts]
        rows.append((name, *cells, *["–"] * (len(questions) - len(applicable))))
    return Table(
        Statement(
            "By how many criteria a map is shown better / worse: {measures} measures with each of {ablations} kinds "
            "of missing tokens, and the Shapley values. Paired sign-flip tests over the digits, p of at most {level} "
            "after Holm's correction within each column.",
            {"measures": len(MEASURES), "ablations": len(ABLATIONS), "level": ALPHA},
        ),
        ("map", "than random orders", "than the ink", "than other maps"),
        tuple(rows),
        "verdicts",
    )


def _ablations(result: FaithfulnessResult) -> Table:
    columns = [
        [CRITERIA.index(Criterion(measure, ablation)) for measure in ("deletion", "insertion")]
        for ablation in ABLATIONS
    ]
    means = result.means[0]
    rows = [
        (name, *(f"{means[i, deletion]:.2f} / {means[i, insertion]:.2f}" for deletion, insertion in columns))
        for i, name in enumerate((*RANKINGS, CHANCE))
    ]
    return Table(
        Statement(
            "Mean areas of deletion (less is better) / insertion (more is better), by what takes the place of a "
            "missing token: nothing (removed from the sequence), black, the mean pixel, or values imputed from its "
            "neighbours."
        ),
        ("order of", *ABLATIONS),
        tuple(rows),
        "ablations",
    )


def _randomization(result: FaithfulnessResult) -> Table:
    names = list(randomization_stages(result.model))
    means = result.randomized_similarity[0].round(2) + 0.0  # no −0
    rows = [(name, *(f"{value:+.2f}" for value in means[:, i])) for i, name in enumerate(MAPS)]
    return Table(
        Statement(
            "Rank correlation of each map with that of the same model with random weights from the top down to the "
            "part that heads the column; means over {digits} digits and {draws} draws.",
            {"digits": result.randomization.shape[-1], "draws": len(result.randomization)},
        ),
        ("map", names[0], *(f"… {name}" for name in names[1:])),
        tuple(rows),
        "randomization",
    )


def _heads(result: FaithfulnessResult) -> Table:
    heads = result.heads
    rows = []
    for layer, importance in enumerate(heads.importance):
        cells = []
        for head, value in enumerate(importance):
            lost = heads.n_correct - int(heads.n_correct_without[layer, head])
            cells.append(f"{1000 * value:.2f} / {lost:+d}".replace("+0", "0"))
        rows.append((f"layer {layer}", *cells))
    return Table(
        Statement(
            "The importance of each head on the same {digits} digits: mean absolute gradient of the loss with respect "
            "to a gate on its output, in thousandths of a nat / digits that are no longer classified correctly "
            "without it.",
            {"digits": len(result.images)},
        ),
        ("", *(f"head {head}" for head in range(heads.importance.shape[1]))),
        tuple(rows),
        "heads",
    )


def _all_scores(result: FaithfulnessResult) -> Table:
    rows = [
        (name, criterion.measure, criterion.ablation, *_numbers(result.means[:, i, j]))
        for i, name in enumerate((*RANKINGS, CHANCE))
        for j, criterion in enumerate(CRITERIA)
    ]
    title = Statement("Every mean over digits, with its bootstrap interval.")
    return Table(title, ("order of", "measure", "missing", "mean", "low", "high"), tuple(rows), "all-scores")


def _all_tests(result: FaithfulnessResult) -> Table:
    rows = [
        (
            *(test.ranking, test.other, test.criterion.measure, test.criterion.ablation),
            *_numbers(np.array([test.gain, test.low, test.high])),
            f"{test.p:.5f}",
            test.verdict,
        )
        for test in (*result.against_chance, *result.against_ink, *result.against_each_other)
    ]
    columns = ("map", "than", "measure", "missing", "better by", "low", "high", "p, corrected", "verdict")
    return Table(Statement("Every test; more is better for every measure."), columns, tuple(rows), "all-tests")


def _all_digits(result: FaithfulnessResult) -> Table:
    areas = auc(result.curves)  # (digits, rankings + 1, ablations, 2)
    rows = []
    for index, image, image_areas, scores in zip(result.indices, result.images, areas, result.scores, strict=True):
        for i, name in enumerate((*RANKINGS, CHANCE)):
            numbers = _numbers(np.concatenate([image_areas[i].ravel(), scores[i, -1:]]))
            rows.append((str(index), str(image.predicted), name, *numbers))
    columns = [f"{curve} {ablation}" for ablation in ABLATIONS for curve in ("deletion", "insertion")]
    title = Statement("The areas of every digit, and the rank correlation with its tokens' Shapley values.")
    return Table(title, ("digit", "prediction", "order of", *columns, SHAPLEY), tuple(rows), "all-digits")


def _numbers(values: Array) -> list[str]:
    return [f"{value:.5f}" for value in values.tolist()]
