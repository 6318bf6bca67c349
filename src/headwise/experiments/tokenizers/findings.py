"""The findings of the tokenizer experiment: sentences chosen by rules over its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from headwise.experiments.protocol import Findings, as_findings
from headwise.experiments.statistics import ALPHA, Interval, min_attainable_p, sign_flip_test, t_interval
from headwise.experiments.tokenizers.result import PairedComparison, TokenizerResult, TokenizersResult
from headwise.experiments.tokenizers.training import DIRECTIONS, SHIFTS
from headwise.shapes import IntArray
from headwise.text import Statement, format_number, join_with_and, pluralize, scientific
from headwise.thresholds import THRESHOLDS

MAX_EXCESS = 0.05  # models are of equal size if the largest has at most this share of parameters more than the smallest
ROUNDING = 1e-4  # logits agree up to rounding if they differ by at most this share of the largest


def findings(result: TokenizersResult) -> Findings:
    """The statements by heading; headings without statements are left out."""
    parts = {
        "What was compared": _setup(result),
        "Accuracy": _accuracy(result),
        "Shuffled pixels": _shuffled(result),
        "Shifted digits": _shifted(result),
        "Position embeddings": _positions(result),
        "Smaller training sets": _sizes(result),
        "Limits": _limits(result),
    }
    return as_findings(parts)


def _setup(r: TokenizersResult) -> Iterator[Statement]:
    yield Statement(
        "The same transformer (D = {d_model}, {n_layers} blocks of {n_heads} heads, MLP {d_ff}) was trained with "
        "{names}, {seeds} each, on {trained:,} digits of {data} for {epochs}, and tested on {tested:,} digits that no "
        "run was trained on.",
        {
            **asdict(r.model),
            "names": join_with_and(r.names),
            "seeds": pluralize(r.seeds, "seed"),
            "trained": r.n_train,
            "tested": r.n_test,
            "data": r.data,
            "epochs": pluralize(r.recipe.epochs, "epoch"),
        },
    )
    equal = "the models are of equal size, to within {most:.0%}."
    unequal = "more than {most:.0%}, so the models are not of equal size."
    yield Statement(
        "Only the embedding and the positions change their shapes; the largest model has {excess:.1%} more parameters "
        "than the smallest: " + (equal if r.parameter_excess <= MAX_EXCESS else unequal),
        {"excess": r.parameter_excess, "most": MAX_EXCESS},
    )
    most, least = (choose(r.entries, key=lambda entry: entry.cost.multiply_adds) for choose in (max, min))
    if most.cost.multiply_adds > least.cost.multiply_adds:
        yield Statement(
            "They differ in work: {most} needs {times:.1f} times the multiply-adds of {least}, and a training step "
            "takes {slower:.1f} times as long.",
            {
                "most": most.name,
                "least": least.name,
                "times": most.cost.multiply_adds / least.cost.multiply_adds,
                "slower": most.step_seconds / least.step_seconds,
            },
        )


def _accuracy(r: TokenizersResult) -> Iterator[Statement]:
    for pair in r.pairs:
        yield from _pair(r, pair, r.difference(pair))
    values = {"seeds": pluralize(r.seeds, "seed"), "smallest": min_attainable_p(r.seeds)}
    if min_attainable_p(r.seeds) > ALPHA:
        yield Statement(
            "With {seeds} the exact test cannot give less than p = {smallest:.2g}, so it could not have shown a "
            "difference.",
            values,
        )
    else:
        yield Statement(
            "The smallest p that the test can give with {seeds} is {smallest:.2g}. It is not adjusted for the number "
            "of comparisons: if nothing differed, at most {expected:.2g} of {pairs} would be expected to reach "
            "{level}.",
            {**values, "expected": _false_positive_rate(r.seeds) * len(r.pairs), "pairs": len(r.pairs), "level": ALPHA},
        )


def _pair(r: TokenizersResult, pair: PairedComparison, difference: Interval) -> Iterator[Statement]:
    template = {
        "better": "{name} is more accurate than {base}",
        "worse": "{name} is less accurate than {base}",
        "no difference shown": "Between {name} and {base} no difference is shown with {seeds}",
    }[pair.verdict]
    values = {"name": pair.name, "base": pair.base, "seeds": pluralize(r.seeds, "seed"), "p": pair.p_seeds}
    yield Statement(f"{template} ({_interval(difference)}, p = {{p:.2g}}).", {**values, **_points(difference)})
    if (pair.p_digits <= ALPHA) != (pair.p_seeds <= ALPHA):
        template = (
            "A difference between these very models is nevertheless shown on these digits"
            if pair.p_digits <= ALPHA
            else "Between these very models the test over digits shows no difference"
        )
        yield Statement(
            template + ": {better} digits are classified correctly by more of the runs and {worse} by fewer "
            "(p = {p:.2g}).",
            {"better": pair.digits_better, "worse": pair.digits_worse, "p": pair.p_digits},
        )


def _shuffled(r: TokenizersResult) -> Iterator[Statement]:
    for pair in r.pairs:
        if not pair.name.endswith(f"-{pair.base}"):
            continue
        error = r.relabelling_errors.get(pair.name)
        if error is None:
            template = "{name} has the pixels of {base} in other tokens"
        elif error <= ROUNDING:
            template = (
                "{name} has the tokens of {base} in another order: with relabelled positions it computes the same "
                "logits, to within {error} of the largest, so nothing is lost in principle"
            )
        else:
            template = "{name} has the tokens of {base} in another order, but its logits differ by {error}"
        outcome = {
            "better": "; trained, it is more accurate by {mean:.2f} points.",
            "worse": "; trained, it is less accurate by {mean:.2f} points.",
            "no difference shown": "; trained, no difference is shown with {seeds} ({mean:+.2f} points).",
        }[pair.verdict]
        mean = 100 * r.difference(pair).mean
        yield Statement(
            template + outcome,
            {
                "name": pair.name,
                "base": pair.base,
                "error": scientific(error or 0.0),
                "seeds": pluralize(r.seeds, "seed"),
                "mean": mean if pair.verdict == "no difference shown" else abs(mean),
            },
        )


def _shifted(r: TokenizersResult) -> Iterator[Statement]:
    right, down = (list(DIRECTIONS).index(direction) for direction in ("right", "down"))
    first = r.names[0]
    farthest = r.shift_loss(first)[..., -1].mean(axis=0) / r.n_test
    yield Statement(
        "Shifting all digits by {pixels} pixels to the right changes the accuracy of {name} by {right:+.1f} points, "
        "shifting them as far down by {down:+.1f}; in training they were shifted by up to {trained:g} pixels. This "
        "moves {lost_right:.1%} of the ink out of the image to the right, and {lost_down:.1%} downwards.",
        {
            "pixels": SHIFTS[-1],
            "name": first,
            "right": 0.0 - 100 * farthest[right],
            "down": 0.0 - 100 * farthest[down],
            "trained": r.recipe.max_shift,
            "lost_right": float(r.foreground_lost[right, -1]),
            "lost_down": float(r.foreground_lost[down, -1]),
        },
    )
    for pair in r.pairs:
        if "-" not in pair.name:  # shuffled tokens have no direction
            yield from _directions(r, pair)


def _directions(r: TokenizersResult, pair: PairedComparison) -> Iterator[Statement]:
    """What shifts to the right and down cost one tokenizer compared with its baseline."""
    costs = {direction: r.extra_shift_loss(pair, direction) for direction in DIRECTIONS}
    by_direction = {
        "more": "A shift {direction} costs {name} more than {base}",
        "less": "A shift {direction} costs {name} less than {base}",
        "same": "The cost of a shift {direction} is not shown to differ between {name} and {base}",
    }
    for direction, extra in costs.items():
        yield _cost(r, pair, extra, by_direction, direction)
    yield Statement(
        "On average over distances, {name} loses {right:.1f} points to the right and {down:.1f} down; {base} loses "
        "{base_right:.1f} and {base_down:.1f}.",
        {
            "name": pair.name,
            "base": pair.base,
            "right": r.shift_loss_points(pair.name, "right"),
            "down": r.shift_loss_points(pair.name, "down"),
            "base_right": r.shift_loss_points(pair.base, "right"),
            "base_down": r.shift_loss_points(pair.base, "down"),
        },
    )
    between_directions = {
        "more": "Compared with {base}, {name} loses more from shifts to the right than from shifts down",
        "less": "Compared with {base}, {name} loses less from shifts to the right than from shifts down",
        "same": "Compared with {base}, the two directions are not shown to differ for {name}",
    }
    yield _cost(r, pair, costs["right"] - costs["down"], between_directions)


def _cost(
    r: TokenizersResult, pair: PairedComparison, extra: IntArray, templates: dict[str, str], direction: str = ""
) -> Statement:
    """Test the extra digits lost, seed by seed and summed over distances, and choose among the templates."""
    p, points = sign_flip_test(extra.tolist()), t_interval(extra / (r.n_test * len(SHIFTS)))
    template = templates["same" if p > ALPHA else "more" if points.mean > 0 else "less"]
    values = {"name": pair.name, "base": pair.base, "direction": direction, "p": p, **_points(points)}
    return Statement(f"{template} ({_interval(points)}, mean over distances; p = {{p:.2g}}).", values)


def _positions(r: TokenizersResult) -> Iterator[Statement]:
    groups: dict[str, list[str]] = {}
    for entry in r.entries:
        if entry.cost.tokens > 2:  # two tokens have a single distance
            groups.setdefault(_order(entry), []).append(f"{entry.name} {format_number(-entry.locality.mean(), '+.2f')}")
    templates = {
        "near": "Tokens that are nearer in the upright image learn more similar positions",
        "near, weakly": "Tokens that are nearer in the upright image learn more similar positions, but only weakly",
        "far": "Tokens that are nearer in the upright image learn less similar positions",
        "far, weakly": "Tokens that are nearer in the upright image learn less similar positions, but only weakly",
        "none": "No relation is seen between distance in the upright image and similarity of positions",
        "unknown": "One run each cannot show whether nearer tokens learn more similar positions",
    }
    for group, template in templates.items():
        if group in groups:
            yield Statement(
                template + " (rank correlation of cosine and distance, mean over seeds): {names}.",
                {"names": join_with_and(groups[group])},
            )


def _order(entry: TokenizerResult) -> str:
    """The sign of the relation over the seeds; "weakly" if the captions would not call the positions ordered."""
    mean, low, high = t_interval(entry.locality)
    if low is None or high is None:
        return "unknown"
    if low <= 0 <= high:
        return "none"
    return ("near" if low > 0 else "far") + ("" if abs(mean) > THRESHOLDS["position_correlation"].value else ", weakly")


def _sizes(r: TokenizersResult) -> Iterator[Statement]:
    for size, correct in zip(r.sizes[:-1], r.n_correct_by_size.swapaxes(0, 1), strict=False):
        for pair in r.pairs:
            extra = correct[r.names.index(pair.name)] - correct[r.names.index(pair.base)]
            p, difference = sign_flip_test(extra.tolist()), t_interval(extra / r.n_test)
            verdict = "and {base} show no difference"
            if p <= ALPHA:
                verdict = f"is {'more' if difference.mean > 0 else 'less'} accurate than {{base}}"
            yield Statement(
                f"Trained on {{size:,}} digits, {{name}} {verdict} ({_interval(difference)}, p = {{p:.2g}}).",
                {"size": size, "name": pair.name, "base": pair.base, "p": p, **_points(difference)},
            )


def _limits(r: TokenizersResult) -> Iterator[Statement]:
    if r.seeds > 1:
        yield Statement(
            "The {seeds} differ in the initial weights, the order of the digits and their augmentation, so a "
            "difference over seeds is about training again on these {trained:,} digits and testing on these "
            "{tested:,}.",
            {"seeds": pluralize(r.seeds, "seed"), "trained": r.n_train, "tested": r.n_test},
        )
    else:
        yield Statement("One run of each cannot distinguish a better tokenizer from a luckier seed.")
    yield Statement(
        "All were trained with one recipe (peak learning rate {learning_rate:g}, epochs: {epochs}); a recipe tuned "
        "for each, or a longer training, could rank them differently.",
        asdict(r.recipe),
    )


def _interval(interval: Interval) -> str:
    """A template for the mean, with the interval if there is one."""
    return "{mean:+.2f} points" + ("" if interval.low is None else ", {level:.0%} interval {low:+.2f} to {high:+.2f}")


def _points(interval: Interval) -> dict[str, float]:
    points = {name: 100 * value for name, value in interval._asdict().items() if value is not None}
    return {**points, "level": 0.95}


def _false_positive_rate(seeds: int) -> float:
    """The chance that the exact test, which takes few values, gives at most `ALPHA` if nothing differs."""
    return ALPHA // min_attainable_p(seeds) * min_attainable_p(seeds)
