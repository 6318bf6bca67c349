"""The audit's tables: those for a reader, and the long ones, with every number, for a program."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headwise.document import Table
from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.per_image import CHANCE, KINDS
from headwise.experiments.faithfulness.randomization import randomization_stages
from headwise.experiments.faithfulness.result import CRITERIA, MEASURES, SHAPLEY, Audit, Criterion, Test
from headwise.experiments.statistics import ALPHA
from headwise.metrics.perturbation import auc
from headwise.models.token_ablation import ABLATIONS
from headwise.shapes import Array
from headwise.text import Statement

__all__ = ["count_verdicts", "records", "tables"]

_FIXED = 1e-9  # no interval is wider than this of a value that is so by definition
_SHORT = {"comprehensiveness": "compr.", "sufficiency": "suff."}


def tables(audit: Audit) -> tuple[Table, ...]:
    """For a reader: scores, verdicts, ways to be missing, random weights, heads."""
    return _scores(audit), _verdicts(audit), _missing(audit), _sanity(audit), _heads(audit)


def records(audit: Audit) -> tuple[Table, ...]:
    """For a program: every score with its interval, every test, every digit's areas."""
    return _all_scores(audit), _all_tests(audit), _all_digits(audit)


def count_verdicts(tests: Sequence[Test], kind: str) -> tuple[int, int, int]:
    """By how many criteria a kind is shown better, and worse, of how many; seen from either side of a test."""
    own = [t.verdict for t in tests if t.kind == kind] + [_TURNED[t.verdict] for t in tests if t.other == kind]
    return own.count("better"), own.count("worse"), len(own)


_TURNED = {"better": "worse", "worse": "better", "not shown": "not shown"}


def _scores(audit: Audit) -> Table:
    columns = [j for j, criterion in enumerate(CRITERIA) if criterion.missing == "removed"]
    mean, low, high = audit.means
    rows = [
        (
            kind,
            *(
                f"{mean[i, j]:.2f} ±{(high[i, j] - low[i, j]) / 2:.2f}" if high[i, j] - low[i, j] > _FIXED else "–"
                for j in columns
            ),
        )
        for i, kind in enumerate((*KINDS, CHANCE))
    ]
    return Table(
        Statement(
            "Missing tokens removed: means over {digits} digits, ± half the {level:.0%} bootstrap interval. Less is "
            "better of deletion and sufficiency, more of the others; the last column is the rank correlation with the "
            "tokens' Shapley values.",
            {"digits": len(audit.digits), "level": 0.95},
        ),
        ("order of", *(_SHORT.get(CRITERIA[j].measure, CRITERIA[j].measure) for j in columns)),
        tuple(rows),
        "scores",
    )


def _verdicts(audit: Audit) -> Table:
    questions = audit.against_chance, audit.against_ink, audit.against_each_other
    rows = []
    for kind in (*MAPS, "ink", "uniform"):
        asked = questions if kind in MAPS else questions[:1]
        cells = [f"{better} / {worse} of {all_}" for better, worse, all_ in (count_verdicts(t, kind) for t in asked)]
        rows.append((kind, *cells, *["–"] * (len(questions) - len(asked))))
    return Table(
        Statement(
            "By how many criteria a kind of map is shown better / worse: {measures} measures with each of {ways} ways "
            "to be missing, and the Shapley values. Paired sign-flip tests over the digits, p of at most {level} after "
            "Holm's correction within each column.",
            {"measures": len(MEASURES), "ways": len(ABLATIONS), "level": ALPHA},
        ),
        ("map", "than random orders", "than the ink", "than other maps"),
        tuple(rows),
        "verdicts",
    )


def _missing(audit: Audit) -> Table:
    ways = [[CRITERIA.index(Criterion(way, missing)) for way in ("deletion", "insertion")] for missing in ABLATIONS]
    rows = []
    for i, kind in enumerate((*KINDS, CHANCE)):
        rows.append((kind, *(f"{audit.means[0, i, out]:.2f} / {audit.means[0, i, in_]:.2f}" for out, in_ in ways)))
    return Table(
        Statement(
            "Mean areas of deletion (less is better) / insertion (more is better), by what a missing token is: removed "
            "from the sequence, black, the mean pixel, or imputed from its neighbours."
        ),
        ("order of", *ABLATIONS),
        tuple(rows),
        "missing",
    )


def _sanity(audit: Audit) -> Table:
    names = list(randomization_stages(audit.model))
    means = audit.survivals[0].round(2) + 0.0  # no −0
    rows = [(kind, *(f"{value:+.2f}" for value in means[:, i])) for i, kind in enumerate(MAPS)]
    return Table(
        Statement(
            "Rank correlation of each kind of map with that of the same model, its weights made anew from the top down "
            "to what heads the column; means over {digits} digits and {draws} draws.",
            {"digits": audit.sanity.shape[-1], "draws": len(audit.sanity)},
        ),
        ("map", names[0], *(f"… {name}" for name in names[1:])),
        tuple(rows),
        "sanity",
    )


def _heads(audit: Audit) -> Table:
    heads, count = audit.heads, len(audit.digits)
    rows = []
    for layer, importance in enumerate(heads.importance):
        cells = []
        for head, value in enumerate(importance):
            lost = heads.right - int(heads.right_without[layer, head])
            cells.append(f"{1000 * value:.2f} / {lost:+d}".replace("+0", "0"))
        rows.append((f"layer {layer}", *cells))
    return Table(
        Statement(
            "What each head matters, on the same {digits} digits: the mean size of the loss's gradient with respect to "
            "a gate on its output, in thousandths of a nat / digits that are no longer read correctly without it.",
            {"digits": count},
        ),
        ("", *(f"head {head}" for head in range(heads.importance.shape[1]))),
        tuple(rows),
        "heads",
    )


def _all_scores(audit: Audit) -> Table:
    rows = [
        (kind, criterion.measure, criterion.missing, *_numbers(audit.means[:, i, j]))
        for i, kind in enumerate((*KINDS, CHANCE))
        for j, criterion in enumerate(CRITERIA)
    ]
    title = Statement("Every mean over digits, with its bootstrap interval.")
    return Table(title, ("order of", "measure", "missing", "mean", "low", "high"), tuple(rows), "all-scores")


def _all_tests(audit: Audit) -> Table:
    rows = [
        (
            *(t.kind, t.other, t.criterion.measure, t.criterion.missing),
            *_numbers(np.array([t.better, t.low, t.high])),
            f"{t.p:.5f}",
            t.verdict,
        )
        for t in (*audit.against_chance, *audit.against_ink, *audit.against_each_other)
    ]
    columns = ("map", "than", "measure", "missing", "better by", "low", "high", "p, corrected", "verdict")
    return Table(Statement("Every test; more is better whatever the measure."), columns, tuple(rows), "all-tests")


def _all_digits(audit: Audit) -> Table:
    areas = auc(audit.curves)  # (digits, kinds + 1, missing, 2)
    rows = []
    for which, digit, found, own in zip(audit.chosen, audit.digits, areas, audit.scores, strict=True):
        for i, kind in enumerate((*KINDS, CHANCE)):
            numbers = _numbers(np.concatenate([found[i].ravel(), own[i, -1:]]))
            rows.append((str(which), str(digit.predicted), kind, *numbers))
    columns = [f"{way} {missing}" for missing in ABLATIONS for way in ("deletion", "insertion")]
    title = Statement("Every digit's areas, and the rank correlation with its tokens' Shapley values.")
    return Table(title, ("digit", "read as", "order of", *columns, SHAPLEY), tuple(rows), "all-digits")


def _numbers(values: Array) -> list[str]:
    return [f"{value:.5f}" for value in values.tolist()]
