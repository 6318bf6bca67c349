"""The findings of the faithfulness experiment: sentences chosen by rules over its numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.experiments.faithfulness.maps import MAPS
from headwise.experiments.faithfulness.pairwise import (
    compare_ablations,
    compare_maps,
    compare_with_reference,
    criterion_index,
)
from headwise.experiments.faithfulness.per_image import CHANCE, RANDOM_ORDERS
from headwise.experiments.faithfulness.result import SHAPLEY, FaithfulnessResult
from headwise.experiments.faithfulness.tables import count_verdicts
from headwise.experiments.protocol import Findings
from headwise.experiments.statistics import ALPHA
from headwise.metrics.faithfulness import spearman
from headwise.text import Statement, join_with_and
from headwise.thresholds import THRESHOLDS

__all__ = ["UNCHANGED", "findings"]

UNCHANGED = 0.99  # a map ranks the tokens in the same order if the rank correlation is at least this


def findings(result: FaithfulnessResult) -> Findings:
    """The statements by heading."""
    parts = {
        "What was examined": _setup(result),
        "Compared with chance": _chance(result),
        "Compared with the ink": compare_with_reference(result.against_ink, "the order of the ink"),
        "Maps compared with each other": compare_maps(result),
        "Kinds of missing tokens": compare_ablations(result),
        "Shapley values": _shapley(result),
        "Random weights": _randomization(result),
        "Heads": _heads(result),
        "Limits": _limits(),
    }
    return {heading: tuple(statements) for heading, statements in parts.items()}


def _setup(r: FaithfulnessResult) -> Iterator[Statement]:
    yield Statement(
        "The maps of a model with {tokens} tokens, {depth} layers and {heads} heads were compared on {count} digits of "
        "{data}, of which it classifies {correct} correctly. All curves are of the probability of the predicted class; "
        "chance is the mean over {orders} random orders for each digit.",
        {
            "tokens": r.model.image_tokenizer.num_tokens,
            "depth": r.model.n_layers,
            "heads": r.model.n_heads,
            "count": len(r.images),
            "data": r.data,
            "correct": r.heads.n_correct,
            "orders": RANDOM_ORDERS,
        },
    )
    if not r.held_out:
        yield Statement(
            "The model may have been trained on these digits (training data: {trained_on}), so its probabilities may "
            "be higher than for new digits. With --data, MNIST's own test digits are used.",
            {"trained_on": r.trained_on},
        )


def _chance(r: FaithfulnessResult) -> Iterator[Statement]:
    yield from compare_with_reference(r.against_chance, CHANCE)
    better, worse, total = count_verdicts(r.against_chance, "uniform")
    outcome = "as it should be" if not better + worse else "which is a false positive"
    yield Statement(
        "The control, a uniform map, is shown better by {better} and worse by {worse} of {total}, " + outcome + ".",
        {"better": better, "worse": worse, "total": total},
    )


def _shapley(r: FaithfulnessResult) -> Iterator[Statement]:
    column = criterion_index(SHAPLEY, "removed")
    correlation = {name: float(r.means[0, r.index(name), column]) for name in MAPS}
    highest, lowest = (choose(correlation, key=lambda name: correlation[name]) for choose in (max, min))
    error = float(np.mean([image.shapley_error for image in r.images]))
    yield Statement(
        "With the tokens' "
        + ("estimated Shapley values (standard error {error:.3f})" if error else "exact Shapley values")
        + ", missing tokens removed, the rank correlation of the maps ranges from {low:.2f} ({lowest}) to {high:.2f} "
        "({highest}) on average; that of the ink is {ink:.2f}.",
        {
            "error": error,
            "lowest": lowest,
            "highest": highest,
            "low": correlation[lowest],
            "high": correlation[highest],
            "ink": float(r.means[0, r.index("ink"), column]),
        },
    )
    follows = THRESHOLDS["shapley_correlation"].value
    names = join_with_and([name for name, value in correlation.items() if value >= follows])
    template = "At least {follows} on average: {names}." if names else "None reaches {follows} on average."
    yield Statement(template, {"follows": follows, "names": names})
    deletion = r.means[0, :, criterion_index("deletion", "removed")]
    best = min(MAPS, key=lambda name: deletion[r.index(name)])
    own, chance, ceiling = (float(deletion[r.index(name)]) for name in (best, CHANCE, "Shapley values"))
    if chance > ceiling:
        yield Statement(
            "By deletion, the best map ({best}, {own:.2f}) covers {share:.0%} of the distance from chance "
            "({chance:.2f}) to the order of the Shapley values ({ceiling:.2f}).",
            {
                "best": best,
                "own": own,
                "chance": chance,
                "ceiling": ceiling,
                "share": (chance - own) / (chance - ceiling),
            },
        )


def _randomization(r: FaithfulnessResult) -> Iterator[Statement]:
    mean, low, _ = r.randomized_similarity  # (stages, maps)
    labels = {name: f"{name} ({value:+.2f})" for name, value in zip(MAPS, mean[-1].round(2) + 0.0, strict=True)}
    unchanged = [name for i, name in enumerate(MAPS) if mean[0, i] >= UNCHANGED]
    if unchanged:
        yield Statement(
            "When only the classifier is randomized, these maps do not change: {names}. So they do not depend on how "
            "the model finally distinguishes the classes.",
            {"names": join_with_and(unchanged)},
        )
    values = {"digits": r.randomization.shape[-1], "draws": len(r.randomization)}
    similar = [labels[name] for i, name in enumerate(MAPS) if low[-1, i] > 0]
    dissimilar = [labels[name] for i, name in enumerate(MAPS) if low[-1, i] <= 0]
    if similar:
        yield Statement(
            "With all weights random, these maps still resemble the trained model's (rank correlation above zero, over "
            "{digits} digits and {draws} draws): {names}. That part of them was not learned.",
            {**values, "names": join_with_and(similar)},
        )
    if dissimilar:
        yield Statement(
            "With all weights random, these are not shown to resemble the trained model's: {names}.",
            {**values, "names": join_with_and(dissimilar)},
        )


def _heads(r: FaithfulnessResult) -> Iterator[Statement]:
    heads, count = r.heads, len(r.images)
    costs = heads.loss_without - heads.loss
    costliest = np.unravel_index(costs.argmax(), costs.shape)
    yield Statement(
        "By the gradient, head {head} of layer {layer} matters most, and gives the map called best head; without it "
        "{without} of {count} digits are classified correctly, with it {correct}.",
        {
            "layer": heads.best[0],
            "head": heads.best[1],
            "without": int(heads.n_correct_without[heads.best]),
            "correct": heads.n_correct,
            "count": count,
        },
    )
    yield Statement(
        "Leaving out head {head} of layer {layer} costs most, {cost:.3f} nats per digit. Over all {all} heads, the "
        "rank correlation of the gradient with the increase of the loss without the head is {correlation:.2f}.",
        {
            "layer": int(costliest[0]),
            "head": int(costliest[1]),
            "cost": float(costs.max()),
            "all": costs.size,
            "correlation": spearman(heads.importance.ravel(), costs.ravel()),
        },
    )


def _limits() -> Iterator[Statement]:
    yield Statement(
        "Intervals and tests are over digits, for this one model: another training could rank the maps differently."
    )
    yield Statement(
        "The model was never trained on digits with missing tokens, so every curve partly shows its response to those; "
        "criteria that share a curve or an image are not independent. A difference counts as shown if p is at most "
        "{level} after correction.",
        {"level": ALPHA},
    )
