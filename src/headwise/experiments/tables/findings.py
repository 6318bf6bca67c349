"""The findings of the tabular experiment: a table, and sentences chosen by rules over its numbers."""

from __future__ import annotations

from headwise.document import Table
from headwise.experiments.protocol import Findings
from headwise.experiments.statistics import ALPHA, Interval, min_attainable_p
from headwise.experiments.tables.run import MODELS, TableScores, TablesResult
from headwise.text import Statement, pluralize


def table(result: TablesResult) -> Table:
    """A row for each table: its rows, the score, and every model's mean with its interval."""
    title = Statement(
        "Scores over {seeds}, {level:.0%} intervals; every row is predicted by a model that was not trained on it.",
        {"seeds": pluralize(result.seeds, "seed"), "level": 0.95},
    )
    rows = []
    for scores in result.tables:
        means = [_with_interval(scores.interval(model)) for model in MODELS]
        rows.append((scores.table, f"{scores.rows:,}", "accuracy" if scores.classes else "R²", *means))
    return Table(title, ("table", "rows", "score", *MODELS), tuple(rows), "scores")


def findings(result: TablesResult) -> Findings:
    """How the transformer compares with each other model on each table, and what that does not show."""
    statements = [_compare(scores, other) for scores in result.tables for other in MODELS[1:]]
    if min_attainable_p(result.seeds) > ALPHA:
        statements.append(
            Statement(
                "With {seeds} the exact test cannot give less than p = {smallest:.2g}, so it could not have shown a "
                "difference at {level}.",
                {"seeds": pluralize(result.seeds, "seed"), "smallest": min_attainable_p(result.seeds), "level": ALPHA},
            )
        )
    limits = Statement(
        "These results are for these rows, dealt into new folds by every seed: they do not show what other rows or "
        "other tables would give."
    )
    return {"Scores": tuple(statements), "Limits": (limits,)}


def _compare(scores: TableScores, other: str) -> Statement:
    difference, p = scores.difference(other), scores.p(other)
    points, unit = abs(difference.mean) * 100, "points of accuracy" if scores.classes else "points of the variance"
    values = {"table": scores.table, "other": other, "points": points, "unit": unit, "p": p}
    if p > ALPHA:
        return Statement("{table}: no difference from the {other} is shown (p = {p:.2g}).", values)
    direction = "more" if difference.mean > 0 else "less"
    return Statement("{table}: {points:.1f} {unit} " + direction + " than the {other} (p = {p:.2g}).", values)


def _with_interval(interval: Interval) -> str:
    mean, low, high = interval
    return f"{mean:.1%}" if low is None or high is None else f"{mean:.1%} ± {(high - low) / 2:.1%}"
