"""The tables of the tokenizer experiment."""

from __future__ import annotations

from collections.abc import Iterator

from headwise.document import Table
from headwise.experiments.tokenizers.plan import matched_epochs
from headwise.experiments.tokenizers.result import TokenizersResult
from headwise.experiments.tokenizers.training import DIRECTIONS, SHIFTS
from headwise.text import Statement, pluralize


def tables(result: TokenizersResult) -> tuple[Table, ...]:
    """Accuracy, differences, costs, shifted digits, and training set sizes if there are several."""
    all_tables = [_accuracy(result), _differences(result), _costs(result), _shifted(result)]
    if len(result.sizes) > 1:
        all_tables.append(_sizes(result))
    return tuple(all_tables)


def _accuracy(result: TokenizersResult) -> Table:
    def row(name: str) -> Iterator[str]:
        entry, accuracy = result.entry(name), result.accuracy(name).within(0, 1)
        yield from (name, f"{accuracy.mean:.2%}", accuracy.ends("{:.2%}") or "–")
        yield f"{entry.n_correct.min() / result.n_test:.2%} to {entry.n_correct.max() / result.n_test:.2%}"
        yield f"{entry.loss.mean():.3f}"

    return Table(
        Statement(
            "Share of {tested:,} digits classified correctly: mean over {seeds}, {level:.0%} interval (Student), the "
            "lowest and highest of any run, and mean cross-entropy in nats.",
            {"tested": result.n_test, "seeds": pluralize(result.seeds, "seed"), "level": 0.95},
        ),
        ("tokenizer", "accuracy", "interval", "runs", "loss"),
        tuple(tuple(row(name)) for name in result.names),
        "accuracy",
    )


def _differences(result: TokenizersResult) -> Table:
    rows = []
    for pair in result.pairs:
        difference = result.difference(pair)
        points = f"{100 * difference.mean:+.2f}", difference.ends("{:+.2f}", 100) or "–"
        digits = f"{pair.digits_better} / {pair.digits_worse}", f"{pair.p_digits:.2g}"
        rows.append((f"{pair.name} − {pair.base}", *points, f"{pair.p_seeds:.2g}", *digits, pair.verdict))
    return Table(
        Statement(
            "Differences in points, seed by seed: mean, {level:.0%} interval, p of the exact sign-flip test over "
            "seeds; digits that more, or fewer, of the runs classify correctly, and p of the same test over digits; "
            "verdict by the test over seeds.",
            {"level": 0.95},
        ),
        ("tokenizers", "points", "interval", "p over seeds", "digits better / worse", "p over digits", "verdict"),
        tuple(rows),
        "differences",
    )


def _costs(result: TokenizersResult) -> Table:
    width, first = result.model.d_model, result.entries[0]
    rows = []
    for entry in result.entries:
        cost = entry.cost
        changing = cost.parameters["embedding"] + cost.parameters["positions"]
        embedding = f"{width} × {cost.inputs} + {width} = {cost.parameters['embedding']:,}"
        positions = f"{1 + cost.tokens} × {width} = {cost.parameters['positions']:,}"
        parameters = embedding, positions, f"{cost.total - changing:,}", f"{cost.total:,}"
        work = f"{cost.multiply_adds / 1e6:.2f}", f"{entry.step_seconds / first.step_seconds:.2f}"
        rows.append((entry.name, f"{cost.tokens} of {cost.inputs}", *parameters, *work))
    return Table(
        Statement(
            "What depends on the tokenizer: tokens and the numbers in each; parameters of the embedding (matrix and "
            "bias), of the positions (with the class token's), of everything else, and in total; millions of "
            "multiply-adds for a digit; time of a training step as a multiple of that of {first}, measured "
            "alternately.",
            {"first": first.name},
        ),
        ("tokenizer", "N of P", "embedding", "positions", "other", "parameters", "multiply-adds", "step"),
        tuple(rows),
        "costs",
    )


def _shifted(result: TokenizersResult) -> Table:
    columns = [f"{direction} {pixels}" for direction in DIRECTIONS for pixels in SHIFTS]
    rows = []
    for name in result.names:
        changes = -100 * result.shift_loss(name).mean(axis=0).ravel() / result.n_test
        rows.append((name, *(f"{change:+.2f}" if round(change, 2) else "0.00" for change in changes)))
    return Table(
        Statement("Change in points when all digits are shifted by this number of pixels, mean over seeds."),
        ("tokenizer", *columns),
        tuple(rows),
        "shifted",
    )


def _sizes(result: TokenizersResult) -> Table:
    means = result.n_correct_by_size.mean(axis=2) / result.n_test
    recipe, total = result.recipe, max(result.sizes)
    steps = [matched_epochs(recipe, size, total) * recipe.steps_per_epoch(size) for size in result.sizes]
    return Table(
        Statement(
            "Share of digits classified correctly after training on this number, with the whole number of epochs "
            "nearest to the same number of steps; mean over seeds."
        ),
        ("tokenizer", *(f"{size:,} ({pluralize(n, 'step')})" for size, n in zip(result.sizes, steps, strict=True))),
        tuple((name, *(f"{mean:.2%}" for mean in row)) for name, row in zip(result.names, means, strict=True)),
        "sizes",
    )
