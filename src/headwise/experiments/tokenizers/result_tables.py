"""The comparison's tables, for a page, a terminal or a program."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.document import Table
from headwise.experiments.statistics import Interval
from headwise.experiments.tokenizers.plan import matched_epochs
from headwise.experiments.tokenizers.result import Comparison
from headwise.experiments.tokenizers.store import DIRECTIONS, SHIFTS
from headwise.text import Statement, pluralize

__all__ = ["tables"]


def tables(comparison: Comparison) -> tuple[Table, ...]:
    """Accuracy, differences, what changes and what it costs, shifted digits; and sizes where there are several."""
    made = [_accuracy(comparison), _differences(comparison), _costs(comparison), _shifted(comparison)]
    if len(comparison.sizes) > 1:
        made.append(_sizes(comparison))
    return tuple(made)


def _accuracy(comparison: Comparison) -> Table:
    def row(name: str) -> Iterator[str]:
        entry, found = comparison.entry(name), comparison.accuracy(name).within(0, 1)
        yield from (name, f"{found.mean:.2%}", _between(found, "{:.2%}"))
        yield f"{entry.right.min() / comparison.tested_on:.2%} to {entry.right.max() / comparison.tested_on:.2%}"
        yield f"{entry.loss.mean():.3f}"

    return Table(
        Statement(
            "Share of {tested:,} digits read correctly: mean over {seeds}, {level:.0%} interval (Student), the "
            "least and the most of any run, and mean cross-entropy in nats.",
            {"tested": comparison.tested_on, "seeds": pluralize(comparison.seeds, "seed"), "level": 0.95},
        ),
        ("tokens", "right", "interval", "runs", "loss"),
        tuple(tuple(row(name)) for name in comparison.names),
        "accuracy",
    )


def _differences(comparison: Comparison) -> Table:
    rows = []
    for pair in comparison.pairs:
        found = comparison.difference(pair)
        rows.append(
            (
                f"{pair.name} − {pair.base}",
                f"{100 * found.mean:+.2f}",
                _between(found, "{:+.2f}", 100),
                f"{pair.p_seeds:.2g}",
                f"{pair.digits_better} / {pair.digits_worse}",
                f"{pair.p_digits:.2g}",
                pair.verdict,
            )
        )
    return Table(
        Statement(
            "Differences in points, seed by seed: mean, {level:.0%} interval, p of the exact sign-flip test over "
            "seeds; digits that more, or fewer, of the runs read correctly, and p of the same test over digits; the "
            "verdict by the test over seeds.",
            {"level": 0.95},
        ),
        ("tokens", "points", "interval", "p over seeds", "digits better / worse", "p over digits", "verdict"),
        tuple(rows),
        "differences",
    )


def _costs(comparison: Comparison) -> Table:
    width, first = comparison.model.d_model, comparison.entries[0]
    rows = []
    for entry in comparison.entries:
        cost = entry.cost
        changing = cost.weights["embedding"] + cost.weights["positions"]
        rows.append(
            (
                entry.name,
                f"{cost.tokens} of {cost.inputs}",
                f"{width} × {cost.inputs} + {width} = {cost.weights['embedding']:,}",
                f"{1 + cost.tokens} × {width} = {cost.weights['positions']:,}",
                f"{cost.total - changing:,}",
                f"{cost.total:,}",
                f"{cost.operations / 1e6:.2f}",
                f"{entry.step / first.step:.2f}",
            )
        )
    return Table(
        Statement(
            "What changes with the cut and what does not: tokens and the numbers in each; weights of the embedding "
            "(matrix and bias), of the positions (with the class token's), of all the rest, and in all; millions of "
            "multiply-adds to read a digit; time of a training step as a multiple of that of {first}, measured in "
            "turns.",
            {"first": first.name},
        ),
        ("tokens", "N of P", "embedding", "positions", "the rest", "weights", "multiply-adds", "step"),
        tuple(rows),
        "costs",
    )


def _shifted(comparison: Comparison) -> Table:
    columns = [f"{direction} {pixels}" for direction in DIRECTIONS for pixels in SHIFTS]
    rows = []
    for name in comparison.names:
        changes = -100 * comparison.lost(name).mean(axis=0).ravel() / comparison.tested_on
        rows.append((name, *(f"{change:+.2f}" if round(change, 2) else "0.00" for change in changes)))
    return Table(
        Statement("Change in points when all digits are moved by so many pixels, mean over seeds."),
        ("tokens", *columns),
        tuple(rows),
        "shifted",
    )


def _sizes(comparison: Comparison) -> Table:
    means = comparison.by_size.mean(axis=2) / comparison.tested_on
    recipe, whole = comparison.recipe, max(comparison.sizes)
    steps = [matched_epochs(recipe, size, whole) * recipe.steps_per_epoch(size) for size in comparison.sizes]
    return Table(
        Statement(
            "Share of digits read correctly after training on so many, in as many steps as whole passes come nearest "
            "to; mean over seeds."
        ),
        ("tokens", *(f"{size:,} ({pluralize(n, 'step')})" for size, n in zip(comparison.sizes, steps, strict=True))),
        tuple((name, *(f"{mean:.2%}" for mean in row)) for name, row in zip(comparison.names, means, strict=True)),
        "sizes",
    )


def _between(found: Interval, form: str, scale: float = 1) -> str:
    if found.low is None or found.high is None:
        return "–"
    return f"{form.format(scale * found.low)} to {form.format(scale * found.high)}"
