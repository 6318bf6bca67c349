"""What a comparison says: every sentence is chosen by a rule over the figures, and holds no number but theirs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from headwise.experiments.statistics import ALPHA, Interval, min_attainable_p, sign_flip_test, t_interval
from headwise.experiments.tokenizers.result import Comparison, PairedComparison, TokenizerResult
from headwise.experiments.tokenizers.store import DIRECTIONS, SHIFTS
from headwise.shapes import IntArray
from headwise.text import Statement, join_with_and, pluralize, scientific
from headwise.thresholds import THRESHOLDS

__all__ = ["BUDGET", "SAME", "findings"]

BUDGET = 0.05  # models have one budget if the largest exceeds the smallest by at most this share of its weights
SAME = 1e-4  # logits agree to rounding if they deviate by at most this share of the largest


def findings(comparison: Comparison) -> dict[str, tuple[Statement, ...]]:
    """The statements by their headings."""
    parts = {
        "What was compared": _compared(comparison),
        "Which cut reads better": _accuracy(comparison),
        "What rearranging the pixels does": _rearranged(comparison),
        "What moving the digit does": _shifted(comparison),
        "What the positions learn": _positions(comparison),
        "With fewer digits": _sizes(comparison),
        "What it does not say": _limits(comparison),
    }
    written = {heading: tuple(statements) for heading, statements in parts.items()}
    return {heading: statements for heading, statements in written.items() if statements}


def _compared(c: Comparison) -> Iterator[Statement]:
    yield Statement(
        "The same transformer (D = {d_model}, {n_layers} blocks of {n_heads} heads, MLP {d_ff}) was trained with "
        "{names}, {seeds} each, on {trained:,} digits of {data} (epochs: {epochs}), and judged by {tested:,} digits on "
        "which no run was trained.",
        {
            **asdict(c.model),
            "names": join_with_and(c.names),
            "seeds": pluralize(c.seeds, "seed"),
            "trained": c.trained_on,
            "tested": c.tested_on,
            "data": c.data,
            "epochs": c.recipe.epochs,
        },
    )
    verdict = ": one budget, to within {few:.0%}." if c.budget <= BUDGET else ", more than {few:.0%}: not one budget."
    yield Statement(
        "Only the embedding and the positions change their shapes; in weights the largest model exceeds the smallest "
        "by {budget:.1%}" + verdict,
        {"budget": c.budget, "few": BUDGET},
    )
    most, least = (pick(c.entries, key=lambda entry: entry.cost.operations) for pick in (max, min))
    if most.cost.operations > least.cost.operations:
        yield Statement(
            "In work they differ: {most} needs {times:.1f} times the multiply-adds of {least}, and {slower:.1f} times "
            "the time for a training step.",
            {
                "most": most.name,
                "least": least.name,
                "times": most.cost.operations / least.cost.operations,
                "slower": most.step / least.step,
            },
        )


def _accuracy(c: Comparison) -> Iterator[Statement]:
    for pair in c.pairs:
        yield from _pair(c, pair, c.difference(pair))
    if min_attainable_p(c.seeds) > ALPHA:
        yield Statement(
            "With {seeds} the exact test cannot give less than p = {smallest:.2g}, so it could not have shown a "
            "difference.",
            {"seeds": pluralize(c.seeds, "seed"), "smallest": min_attainable_p(c.seeds)},
        )
    else:
        yield Statement(
            "The smallest p that the test can give with {seeds} is {smallest:.2g}. It is not adjusted for the "
            "number of comparisons: if nothing differed, at most {expected:.2g} of {pairs} would be expected to reach "
            "{level}.",
            {
                "seeds": pluralize(c.seeds, "seed"),
                "smallest": min_attainable_p(c.seeds),
                "expected": _reached(c.seeds) * len(c.pairs),
                "pairs": len(c.pairs),
                "level": ALPHA,
            },
        )


def _pair(c: Comparison, pair: PairedComparison, found: Interval) -> Iterator[Statement]:
    template = {
        "better": "Cut by {name}, digits are read better than by {base}",
        "worse": "Cut by {name}, digits are read worse than by {base}",
        "no difference shown": "Between {name} and {base} no difference is shown at {seeds}",
    }[pair.verdict]
    values = {
        "name": pair.name,
        "base": pair.base,
        "seeds": pluralize(c.seeds, "seed"),
        "p": pair.p_seeds,
        **_points(found),
    }
    yield Statement(f"{template} ({_interval(found)}, p = {{p:.2g}}).", values)
    if (pair.p_digits <= ALPHA) != (pair.p_seeds <= ALPHA):
        shown = (
            "Of these very models, on these digits, a difference is shown all the same"
            if pair.p_digits <= ALPHA
            else "Over the digits, for these very models, the difference is not shown"
        )
        yield Statement(
            shown + ": {better} digits are read by more of the runs and {worse} by fewer (p = {p:.2g}).",
            {"better": pair.digits_better, "worse": pair.digits_worse, "p": pair.p_digits},
        )


def _rearranged(c: Comparison) -> Iterator[Statement]:
    for pair in c.pairs:
        if not pair.name.endswith(f"-{pair.base}"):
            continue
        deviation = c.relabelled.get(pair.name)
        if deviation is None:
            template = "{name} has the pixels of {base} in other tokens"
        elif deviation <= SAME:
            template = (
                "{name} has the tokens of {base} in another order: with its positions relabelled it computes the same "
                "logits, to {deviation} of the largest, so nothing is lost in principle"
            )
        else:
            template = "{name} has the tokens of {base} in another order, and yet deviates by {deviation}"
        outcome = {
            "better": "; trained, it reads better by {mean:.2f} points.",
            "worse": "; trained, it reads worse, by {mean:.2f} points.",
            "no difference shown": "; trained, it shows no difference at {seeds} ({mean:+.2f} points).",
        }[pair.verdict]
        mean = 100 * c.difference(pair).mean
        yield Statement(
            template + outcome,
            {
                "name": pair.name,
                "base": pair.base,
                "deviation": scientific(deviation or 0.0),
                "seeds": pluralize(c.seeds, "seed"),
                "mean": mean if pair.verdict == "no difference shown" else abs(mean),
            },
        )


def _shifted(c: Comparison) -> Iterator[Statement]:
    right, down = (list(DIRECTIONS).index(direction) for direction in ("right", "down"))
    first = c.names[0]
    farthest = c.lost(first)[..., -1].mean(axis=0) / c.tested_on
    yield Statement(
        "Moving all digits by {pixels} pixels to the right changes what {name} reads by {across:+.1f} points, moving "
        "them as far down by {down:+.1f}; in training they were moved by up to {trained:g}. The one takes "
        "{ink_across:.1%} of the ink out of the image, the other {ink_down:.1%}.",
        {
            "pixels": SHIFTS[-1],
            "name": first,
            "across": -100 * farthest[right],
            "down": -100 * farthest[down],
            "trained": c.recipe.max_shift,
            "ink_across": float(c.ink_lost[right, -1]),
            "ink_down": float(c.ink_lost[down, -1]),
        },
    )
    for pair in c.pairs:
        if "-" in pair.name:  # rearranged: nothing in it has a direction
            continue
        costs = {direction: c.costlier(pair, direction) for direction in DIRECTIONS}
        for direction, extra in costs.items():
            yield _moved(
                c,
                pair,
                extra,
                {
                    "more": "A move {direction} costs {name} more than {base}",
                    "less": "A move {direction} costs {name} less than {base}",
                    "same": "What a move {direction} costs is not shown to differ between {name} and {base}",
                },
                direction,
            )
        yield Statement(
            "Mean over distances, {name} loses {right:.1f} points to the right and {down:.1f} down, {base} "
            "{base_right:.1f} and {base_down:.1f}.",
            {
                "name": pair.name,
                "base": pair.base,
                "right": c.points_lost(pair.name, "right"),
                "down": c.points_lost(pair.name, "down"),
                "base_right": c.points_lost(pair.base, "right"),
                "base_down": c.points_lost(pair.base, "down"),
            },
        )
        yield _moved(
            c,
            pair,
            costs["right"] - costs["down"],
            {
                "more": "So beside {base}, to the right {name} does worse than downwards",
                "less": "So beside {base}, to the right {name} does better than downwards",
                "same": "That {name} beside {base} does better in one direction than in the other is not shown",
            },
        )


def _moved(
    c: Comparison, pair: PairedComparison, extra: IntArray, templates: dict[str, str], direction: str = ""
) -> Statement:
    """Whether digits are lost, seed by seed and over all distances, more by one than by the other."""
    p, found = sign_flip_test(extra.tolist()), t_interval(extra / (c.tested_on * len(SHIFTS)))
    template = templates["same" if p > ALPHA else "more" if found.mean > 0 else "less"]
    values = {"name": pair.name, "base": pair.base, "direction": direction, "p": p, **_points(found)}
    return Statement(f"{template} ({_interval(found)}, mean over distances; p = {{p:.2g}}).", values)


def _positions(c: Comparison) -> Iterator[Statement]:
    groups: dict[str, list[str]] = {}
    for entry in c.entries:
        if entry.cost.tokens > 2:  # else there is one distance at most, and nothing to order
            groups.setdefault(_ordered(entry), []).append(f"{entry.name} {-entry.nearness.mean():+.2f}")
    templates = {
        "near": "Tokens whose pixels lie nearer in the upright image learn positions that are more alike",
        "near, weakly": "Tokens whose pixels lie nearer learn positions that are more alike, but weakly so",
        "far": "Tokens whose pixels lie nearer in the upright image learn positions that are less alike",
        "far, weakly": "Tokens whose pixels lie nearer learn positions that are less alike, but weakly so",
        "none": "How near their pixels lie in the upright image is not seen to matter to the tokens' positions",
        "unknown": "One run each does not tell whether tokens whose pixels lie nearer learn positions that are alike",
    }
    for group, template in templates.items():
        if group in groups:
            yield Statement(
                template + " (rank correlation of cosine and distance, mean over seeds): {names}.",
                {"names": join_with_and(groups[group])},
            )


def _ordered(entry: TokenizerResult) -> str:
    """Which way positions go with nearness over the seeds; weakly if the captions would not call them ordered."""
    mean, low, high = t_interval(entry.nearness)
    if low is None or high is None:
        return "unknown"
    if low <= 0 <= high:
        return "none"
    return ("near" if low > 0 else "far") + ("" if abs(mean) > THRESHOLDS["position_correlation"].value else ", weakly")


def _sizes(c: Comparison) -> Iterator[Statement]:
    for size, right in zip(c.sizes[:-1], c.by_size.swapaxes(0, 1), strict=False):
        for pair in c.pairs:
            more = right[c.names.index(pair.name)] - right[c.names.index(pair.base)]
            p, found = sign_flip_test(more.tolist()), t_interval(more / c.tested_on)
            template = (
                "Trained on {size:,} digits, {name} and {base} show no difference"
                if p > ALPHA
                else "Trained on {size:,} digits, {name} reads better than {base}"
                if found.mean > 0
                else "Trained on {size:,} digits, {name} reads worse than {base}"
            )
            yield Statement(
                f"{template} ({_interval(found)}, p = {{p:.2g}}).",
                {"size": size, "name": pair.name, "base": pair.base, "p": p, **_points(found)},
            )


def _limits(c: Comparison) -> Iterator[Statement]:
    if c.seeds > 1:
        yield Statement(
            "The {seeds} differ in the first weights, the order of the digits and how each is moved, so what is "
            "shown over them holds for training again on these {trained:,} digits and judging by these {tested:,}.",
            {"seeds": pluralize(c.seeds, "seed"), "trained": c.trained_on, "tested": c.tested_on},
        )
    else:
        yield Statement("One run of each does not tell a better cut from a luckier start.")
    yield Statement(
        "All were trained by one recipe (peak rate {rate:g}, epochs: {epochs}); another recipe for each, or a longer "
        "training, could rank them otherwise.",
        asdict(c.recipe),
    )


def _interval(found: Interval) -> str:
    """A template for the mean, with the interval where there is one."""
    return "{mean:+.2f} points" + ("" if found.low is None else ", {level:.0%} interval {low:+.2f} to {high:+.2f}")


def _points(found: Interval) -> dict[str, float]:
    shares = {name: 100 * value for name, value in found._asdict().items() if value is not None}
    return {**shares, "level": 0.95}


def _reached(seeds: int) -> float:
    """How often, at most, the exact test gives a p of `ALPHA` or less where nothing differs: it gives few values."""
    return ALPHA // min_attainable_p(seeds) * min_attainable_p(seeds)
