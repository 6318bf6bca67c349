"""The tables of the faithfulness experiment: for a reader, and with every number for a program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headwise.document import Table
from headwise.experiments.faithfulness.heads import HeadImportance
from headwise.experiments.faithfulness.result import FaithfulnessResult, RankingTest
from headwise.experiments.faithfulness.scope import CHANCE, MEASURES, SHAPLEY, Criterion
from headwise.experiments.statistics import ALPHA
from headwise.shapes import Array
from headwise.text import Statement

_CONSTANT = 1e-9  # an interval is narrower than this only if the value is constant by definition
_ABBREVIATIONS = {"comprehensiveness": "compr.", "sufficiency": "suff."}
_OPPOSITE = {"better": "worse", "worse": "better", "not shown": "not shown"}


def tables(result: FaithfulnessResult) -> tuple[Table, ...]:
    """For a reader: scores, verdicts, kinds of missing tokens, randomized weights, heads."""
    built = [_scores(result), _verdicts(result), _ablations(result)]
    if result.stages:
        built.append(_randomization(result))
    if result.heads is not None:
        built.append(_heads(result, result.heads))
    return tuple(built)


def records(result: FaithfulnessResult) -> tuple[Table, ...]:
    """For a program: every score with its interval, every test, and the scores of every input."""
    return _all_scores(result), _all_tests(result), _all_inputs(result)


def count_verdicts(tests: Sequence[RankingTest], ranking: str) -> tuple[int, int, int]:
    """In how many tests a ranking is better, in how many worse, and of how many; on either side of a test."""
    verdicts: list[str] = [test.verdict for test in tests if test.ranking == ranking]
    verdicts += [_OPPOSITE[test.verdict] for test in tests if test.other == ranking]
    return verdicts.count("better"), verdicts.count("worse"), len(verdicts)


def _scores(result: FaithfulnessResult) -> Table:
    columns = [j for j, c in enumerate(result.scope.criteria) if c.ablation == result.scope.ablations[0]]
    measures = [result.scope.criteria[j].measure for j in columns]
    mean, low, high = result.means

    def cell(i: int, j: int) -> str:
        width = high[i, j] - low[i, j]
        return f"{mean[i, j]:.2f} ±{width / 2:.2f}" if width > _CONSTANT else "–"

    rows = [(name, *(cell(i, j) for j in columns)) for i, name in enumerate((*result.scope.rankings, CHANCE))]
    return Table(
        Statement(
            "Missing tokens {ablation}: means over {count} {inputs}, ± half the {level:.0%} bootstrap interval. Less "
            "is better for deletion and sufficiency, more for the others; the last column is the rank correlation with "
            "the tokens' Shapley values.",
            {"ablation": result.scope.ablations[0], "count": len(result.inputs), "inputs": result.noun, "level": 0.95},
        ),
        ("order of", *(_ABBREVIATIONS.get(measure, measure) for measure in measures)),
        tuple(rows),
        "scores",
    )


def _verdicts(result: FaithfulnessResult) -> Table:
    questions = result.against_chance, result.against_baseline, result.against_each_other
    rows = []
    for name in result.scope.rankings:
        applicable = questions[: 1 + (name in result.scope.maps) + (name in result.scope.candidates)]
        counts = [count_verdicts(tests, name) for tests in applicable]
        cells = [f"{better} / {worse} of {total}" for better, worse, total in counts]
        rows.append((name, *cells, *["–"] * (len(questions) - len(applicable))))
    return Table(
        Statement(
            "By how many criteria a map is shown better / worse: {measures} measures with each of {ablations} kinds "
            "of missing tokens, and the Shapley values. Paired sign-flip tests over the inputs, p of at most {level} "
            "after Holm's correction within each column.",
            {"measures": len(MEASURES), "ablations": len(result.scope.ablations), "level": ALPHA},
        ),
        ("map", "than random orders", f"than {result.scope.baseline}", "than other maps"),
        tuple(rows),
        "verdicts",
    )


def _ablations(result: FaithfulnessResult) -> Table:
    columns = [
        [result.scope.criteria.index(Criterion(measure, ablation)) for measure in ("deletion", "insertion")]
        for ablation in result.scope.ablations
    ]
    means = result.means[0]
    rows = [
        (name, *(f"{means[i, deletion]:.2f} / {means[i, insertion]:.2f}" for deletion, insertion in columns))
        for i, name in enumerate((*result.scope.rankings, CHANCE))
    ]
    return Table(
        Statement(
            "Mean areas of deletion (less is better) / insertion (more is better), by what takes the place of a "
            "missing token."
        ),
        ("order of", *result.scope.ablations),
        tuple(rows),
        "ablations",
    )


def _randomization(result: FaithfulnessResult) -> Table:
    names = result.stages
    means = result.randomized_similarity[0].round(2) + 0.0  # no −0
    rows = [(name, *(f"{value:+.2f}" for value in means[:, i])) for i, name in enumerate(result.randomized_maps)]
    return Table(
        Statement(
            "Rank correlation of each map with that of the same model with random weights from the top down to the "
            "part that heads the column; means over {count} {inputs} and {draws} draws.",
            {"count": result.randomization.shape[-1], "inputs": result.noun, "draws": len(result.randomization)},
        ),
        ("map", names[0], *(f"… {name}" for name in names[1:])),
        tuple(rows),
        "randomization",
    )


def _heads(result: FaithfulnessResult, heads: HeadImportance) -> Table:
    rows = []
    for layer, importance in enumerate(heads.importance):
        cells = []
        for head, value in enumerate(importance):
            lost = heads.n_correct - int(heads.n_correct_without[layer, head])
            cells.append(f"{1000 * value:.2f} / {lost:+d}".replace("+0", "0"))
        rows.append((f"layer {layer}", *cells))
    return Table(
        Statement(
            "The importance of each head on the same {count} {inputs}: mean absolute gradient of the loss with respect "
            "to a gate on its output, in thousandths of a nat / how many are no longer classified correctly "
            "without it.",
            {"count": len(result.inputs), "inputs": result.noun},
        ),
        ("", *(f"head {head}" for head in range(heads.importance.shape[1]))),
        tuple(rows),
        "heads",
    )


def _all_scores(result: FaithfulnessResult) -> Table:
    rows = [
        (name, criterion.measure, criterion.ablation, *_numbers(result.means[:, i, j]))
        for i, name in enumerate((*result.scope.rankings, CHANCE))
        for j, criterion in enumerate(result.scope.criteria)
    ]
    title = Statement("Every mean over inputs, with its bootstrap interval.")
    return Table(title, ("order of", "measure", "missing", "mean", "low", "high"), tuple(rows), "all-scores")


def _all_tests(result: FaithfulnessResult) -> Table:
    rows = []
    for test in (*result.against_chance, *result.against_baseline, *result.against_each_other):
        compared = test.ranking, test.other, test.criterion.measure, test.criterion.ablation
        numbers = _numbers(np.array([test.gain, test.low, test.high]))
        rows.append((*compared, *numbers, f"{test.p:.5f}", test.verdict))
    columns = ("map", "than", "measure", "missing", "better by", "low", "high", "p, corrected", "verdict")
    return Table(Statement("Every test; more is better for every measure."), columns, tuple(rows), "all-tests")


def _all_inputs(result: FaithfulnessResult) -> Table:
    rows = [
        (str(index), str(item.predicted), str(item.players), name, *_numbers(scores))
        for index, item in zip(result.indices, result.inputs, strict=True)
        for name, scores in zip((*result.scope.rankings, CHANCE), item.scores, strict=True)
    ]
    columns = [f"{c.measure} {c.ablation}" for c in result.scope.criteria[:-1]]
    title = Statement("The scores of every input, the last its rank correlation with its players' Shapley values.")
    return Table(title, ("input", "prediction", "players", "order of", *columns, SHAPLEY), tuple(rows), "all-inputs")


def _numbers(values: Array) -> list[str]:
    return [f"{value:.5f}" for value in values.tolist()]
