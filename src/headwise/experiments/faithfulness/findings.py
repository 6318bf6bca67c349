"""What an audit says: every sentence is chosen by a rule over the figures, and holds no number but theirs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.pairwise import by_missing, column, compare_maps, compare_with_reference
from headwise.experiments.faithfulness.per_image import CHANCE, ORDERS
from headwise.experiments.faithfulness.result import SHAPLEY, Audit
from headwise.experiments.faithfulness.result_tables import count_verdicts
from headwise.experiments.statistics import ALPHA
from headwise.metrics.faithfulness import spearman
from headwise.text import Statement, join_with_and
from headwise.thresholds import THRESHOLDS

__all__ = ["UNCHANGED", "findings"]

UNCHANGED = 0.99  # a map is the same map, for an order of tokens, if its rank correlation is at least this


def findings(audit: Audit) -> dict[str, tuple[Statement, ...]]:
    """The statements by their headings."""
    parts = {
        "What was audited": _audited(audit),
        "Better than chance": _chance(audit),
        "Better than the ink": _ink(audit),
        "Which kind of map": compare_maps(audit),
        "What a missing token is": by_missing(audit),
        "The tokens' worth": _worth(audit),
        "Random weights": _sanity(audit),
        "Heads": _heads(audit),
        "What it does not say": _limits(audit),
    }
    return {heading: tuple(statements) for heading, statements in parts.items()}


def _audited(a: Audit) -> Iterator[Statement]:
    yield Statement(
        "A model of {tokens} tokens, {depth} layers and {heads} heads was audited on {count} digits of {data}, of "
        "which it reads {right} correctly. All curves are of the probability of the class that it reads; chance is "
        "the mean over {orders} random orders for each digit.",
        {
            "tokens": a.model.image_tokenizer.num_tokens,
            "depth": a.model.n_layers,
            "heads": a.model.n_heads,
            "count": len(a.digits),
            "data": a.data,
            "right": a.heads.right,
            "orders": ORDERS,
        },
    )
    if not a.apart:
        yield Statement(
            "These digits may be among those that the model was trained on ({trained_on}): its answers to them may be "
            "surer than to digits it has not seen. With --data, MNIST's own test digits are used.",
            {"trained_on": a.trained_on},
        )


def _chance(a: Audit) -> Iterator[Statement]:
    yield from compare_with_reference(a.against_chance, CHANCE)
    better, worse, total = count_verdicts(a.against_chance, "uniform")
    outcome = "as it should be" if not better + worse else "which is chance at work"
    yield Statement(
        "The control, a map that is all alike, is shown better by {better} and worse by {worse} of {total}, "
        + outcome
        + ".",
        {"better": better, "worse": worse, "total": total},
    )


def _ink(a: Audit) -> Iterator[Statement]:
    yield from compare_with_reference(a.against_ink, "the order of the ink")


def _worth(a: Audit) -> Iterator[Statement]:
    at = column(SHAPLEY, "removed")
    found = {kind: float(a.means[0, a.of(kind), at]) for kind in MAPS}
    high, low = (pick(found, key=lambda kind: found[kind]) for pick in (max, min))
    error = float(np.mean([digit.error for digit in a.digits]))
    yield Statement(
        "With the tokens' "
        + ("estimated Shapley values (standard error {error:.3f})" if error else "exact Shapley values")
        + ", missing tokens removed, the maps' rank correlation is from {lowest:.2f} ({low}) to {highest:.2f} ({high}) "
        "on average; that of the ink is {ink:.2f}.",
        {
            "error": error,
            "low": low,
            "high": high,
            "lowest": found[low],
            "highest": found[high],
            "ink": float(a.means[0, a.of("ink"), at]),
        },
    )
    follows = THRESHOLDS["shapley_correlation"].value
    kinds = join_with_and([kind for kind, value in found.items() if value >= follows])
    template = "At least {follows} on average: {kinds}." if kinds else "None has {follows} or more on average."
    yield Statement(template, {"follows": follows, "kinds": kinds})
    deletion = a.means[0, :, column("deletion", "removed")]
    best = min(MAPS, key=lambda kind: deletion[a.of(kind)])
    own, chance, ceiling = (float(deletion[a.of(kind)]) for kind in (best, CHANCE, "Shapley values"))
    if chance > ceiling:
        yield Statement(
            "By deletion, the best map ({best}, {own:.2f}) is {way:.0%} of the way from chance ({chance:.2f}) to the "
            "order of these values ({ceiling:.2f}).",
            {
                "best": best,
                "own": own,
                "chance": chance,
                "ceiling": ceiling,
                "way": (chance - own) / (chance - ceiling),
            },
        )


def _sanity(a: Audit) -> Iterator[Statement]:
    mean, low, _ = a.survivals  # (stages, kinds)
    ends = {kind: f"{kind} ({value:+.2f})" for kind, value in zip(MAPS, mean[-1].round(2) + 0.0, strict=True)}
    blind = [kind for i, kind in enumerate(MAPS) if mean[0, i] >= UNCHANGED]
    if blind:
        yield Statement(
            "When the classifier alone is made anew, these maps stay the same: {kinds}. So they do not depend on how "
            "the classes are told apart in the end.",
            {"kinds": join_with_and(blind)},
        )
    values = {"digits": a.sanity.shape[-1], "draws": len(a.sanity)}
    still = [ends[kind] for i, kind in enumerate(MAPS) if low[-1, i] > 0]
    gone = [ends[kind] for i, kind in enumerate(MAPS) if low[-1, i] <= 0]
    if still:
        yield Statement(
            "With every weight made anew these maps still resemble the trained model's (rank correlation above zero, "
            "over {digits} digits and {draws} draws): {kinds}. So much of them is not what was learnt.",
            {**values, "kinds": join_with_and(still)},
        )
    if gone:
        yield Statement(
            "With every weight made anew these are not shown to resemble the trained model's: {kinds}.",
            {**values, "kinds": join_with_and(gone)},
        )


def _heads(a: Audit) -> Iterator[Statement]:
    heads, count = a.heads, len(a.digits)
    costs = heads.loss_without - heads.loss
    dearest = np.unravel_index(costs.argmax(), costs.shape)
    yield Statement(
        "By the gradient, head {head} of layer {layer} matters most, and gives the map called best head; without it "
        "{without} of {count} digits are read correctly, with it {right}.",
        {
            "layer": heads.best[0],
            "head": heads.best[1],
            "without": int(heads.right_without[heads.best]),
            "right": heads.right,
            "count": count,
        },
    )
    yield Statement(
        "Leaving out head {head} of layer {layer} costs most, {cost:.3f} nats a digit. Over all {all} heads, the rank "
        "correlation of the gradient with what leaving a head out adds to the loss is {agree:.2f}.",
        {
            "layer": int(dearest[0]),
            "head": int(dearest[1]),
            "cost": float(costs.max()),
            "all": costs.size,
            "agree": spearman(heads.importance.ravel(), costs.ravel()),
        },
    )


def _limits(a: Audit) -> Iterator[Statement]:
    yield Statement(
        "Intervals and tests are over digits, for this one model: another training of it may rank the maps otherwise."
    )
    yield Statement(
        "The model was never trained on digits with tokens missing, so every curve is partly of how it takes that; "
        "criteria that share a curve or an image are not independent. A difference counts as shown if p is at most "
        "{level} after correction.",
        {"level": ALPHA},
    )
