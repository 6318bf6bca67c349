"""The findings of the faithfulness experiment: sentences chosen by rules over its numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.attribution import MAPS
from headwise.experiments.faithfulness.heads import HeadImportance
from headwise.experiments.faithfulness.pairwise import (
    compare_ablations,
    compare_maps,
    compare_with_reference,
    criterion_index,
)
from headwise.experiments.faithfulness.per_input import RANDOM_ORDERS
from headwise.experiments.faithfulness.result import FaithfulnessResult
from headwise.experiments.faithfulness.scope import CHANCE, SHAPLEY, UNIFORM
from headwise.experiments.faithfulness.tables import count_verdicts
from headwise.experiments.protocol import Findings, as_findings
from headwise.experiments.statistics import ALPHA
from headwise.metrics.faithfulness import spearman
from headwise.text import Statement, format_number, join_with_and
from headwise.thresholds import THRESHOLDS

UNCHANGED = 0.99  # a map ranks the players in the same order if the rank correlation is at least this


def findings(result: FaithfulnessResult) -> Findings:
    """The statements by heading."""
    baseline = f"the order of the {result.scope.baseline}"
    parts = {
        "What was examined": _setup(result),
        "Recommendation": _recommendation(result),
        "Compared with chance": _chance(result),
        f"Compared with the {result.scope.baseline}": compare_with_reference(result, result.against_baseline, baseline),
        "Maps compared with each other": compare_maps(result),
        "Kinds of missing tokens": compare_ablations(result),
        "Shapley values": _shapley(result),
        "Random weights": _randomization(result) if result.stages else (),
        "Heads": _heads(result, result.heads) if result.heads is not None else (),
        "Limits": _limits(result),
    }
    return as_findings(parts)


def _setup(r: FaithfulnessResult) -> Iterator[Statement]:
    yield Statement(
        "The maps of {model}, with {depth} layers and {heads} heads, were compared on {count} {inputs} of {data}"
        + (", of which it classifies {correct} correctly" if r.labelled else "")
        + "; each has at most {players} players. All curves are of the probability of the predicted class; chance is "
        "the mean over {orders} random orders for each input.",
        {
            "model": r.model.name,
            "depth": r.model.layers,
            "heads": r.model.heads,
            "count": len(r.inputs),
            "inputs": r.noun,
            "data": r.data,
            "correct": sum(item.correct for item in r.inputs),
            "players": r.model.players,
            "orders": RANDOM_ORDERS,
        },
    )
    if r.held_out:
        yield Statement("The model was trained on {trained_on}.", {"trained_on": r.trained_on})
    else:
        yield Statement(
            "The model may have been trained on these {inputs} (training data: {trained_on}), so its probabilities may "
            "be higher than for new ones.",
            {"inputs": r.noun, "trained_on": r.trained_on},
        )


def _recommendation(r: FaithfulnessResult) -> Iterator[Statement]:
    best = r.recommendation
    assert best.gain is not None  # an audit measures it
    assert best.p is not None
    mean, low, high = best.gain
    outcome = (
        "shown to be better than the {baseline}" if best.p <= ALPHA and mean > 0
        else "shown to be worse than the {baseline}" if best.p <= ALPHA
        else "not shown to differ from the {baseline}"
    )  # fmt: skip
    yield Statement(
        "For this model, {map} is recommended ({passes} passes): its insertion area exceeds its deletion area the "
        "most, in {confidence:.0%} of bootstrap resamples of the inputs. By this measure it is "
        + outcome
        + ", by {gain:+.3f} ({low:+.3f} to {high:+.3f}, p = {p:.2g}).",
        {
            "map": best.map, "passes": MAPS[best.map].passes, "confidence": best.confidence, "gain": mean, "low": low,
            "high": high, "p": best.p, "baseline": r.scope.baseline,
        },
    )  # fmt: skip


def _chance(r: FaithfulnessResult) -> Iterator[Statement]:
    yield from compare_with_reference(r, r.against_chance, CHANCE)
    better, worse, total = count_verdicts(r.against_chance, UNIFORM)
    outcome = "as it should be" if not better + worse else "which is a false positive"
    yield Statement(
        "The control, a uniform map, is shown better by {better} and worse by {worse} of {total}, " + outcome + ".",
        {"better": better, "worse": worse, "total": total},
    )


def _shapley(r: FaithfulnessResult) -> Iterator[Statement]:
    ablation = r.scope.ablations[0]
    column = criterion_index(r, SHAPLEY, ablation)
    names = r.scope.candidates
    correlation = {name: float(r.means[0, r.index(name), column]) for name in names}
    highest, lowest = (choose(correlation, key=lambda name: correlation[name]) for choose in (max, min))
    yield Statement(
        "With the exact Shapley values, missing tokens {ablation}, the rank correlation of the other maps ranges from "
        "{low:.2f} ({lowest}) to {high:.2f} ({highest}) on average; that of the {baseline} is {value:.2f}.",
        {
            "ablation": ablation,
            "lowest": lowest,
            "highest": highest,
            "low": correlation[lowest],
            "high": correlation[highest],
            "baseline": r.scope.baseline,
            "value": float(r.means[0, r.index(r.scope.baseline), column]),
        },
    )
    follows = THRESHOLDS["shapley_correlation"].value
    names_text = join_with_and([name for name, value in correlation.items() if value >= follows])
    template = "At least {follows} on average: {names}." if names_text else "None reaches {follows} on average."
    yield Statement(template, {"follows": follows, "names": names_text})
    if "Shapley values" not in r.scope.maps:
        return
    deletion = r.means[0, :, criterion_index(r, "deletion", ablation)]
    best = min(names, key=lambda name: deletion[r.index(name)])
    best_area, chance, ceiling = (float(deletion[r.index(name)]) for name in (best, CHANCE, "Shapley values"))
    if chance > ceiling:
        yield Statement(
            "By deletion, the best of these ({best}, {own:.2f}) covers {share:.0%} of the distance from chance "
            "({chance:.2f}) to the order of the Shapley values ({ceiling:.2f}).",
            {
                "best": best,
                "own": best_area,
                "chance": chance,
                "ceiling": ceiling,
                "share": (chance - best_area) / (chance - ceiling),
            },
        )


def _randomization(r: FaithfulnessResult) -> Iterator[Statement]:
    mean, low, _ = r.randomized_similarity  # (stages, maps)
    names = r.randomized_maps
    labels = {
        name: f"{name} ({format_number(value, '+.2f')})"
        for name, value in zip(names, mean[-1].round(2) + 0.0, strict=True)
    }
    unchanged = [name for i, name in enumerate(names) if mean[0, i] >= UNCHANGED]
    if unchanged:
        yield Statement(
            "When only the classifier is randomized, these maps do not change: {names}. So they do not depend on how "
            "the model finally distinguishes the classes.",
            {"names": join_with_and(unchanged)},
        )
    values = {"count": r.randomization.shape[-1], "inputs": r.noun, "draws": len(r.randomization)}
    similar = [labels[name] for i, name in enumerate(names) if low[-1, i] > 0]
    dissimilar = [labels[name] for i, name in enumerate(names) if low[-1, i] <= 0]
    if similar:
        yield Statement(
            "With all weights random, these maps still resemble the trained model's (rank correlation above zero, over "
            "{count} {inputs} and {draws} draws): {names}. That part of them was not learned.",
            {**values, "names": join_with_and(similar)},
        )
    if dissimilar:
        yield Statement(
            "With all weights random, these are not shown to resemble the trained model's: {names}.",
            {**values, "names": join_with_and(dissimilar)},
        )


def _heads(r: FaithfulnessResult, heads: HeadImportance) -> Iterator[Statement]:
    count = len(r.inputs)
    costs = heads.loss_without - heads.loss
    costliest = np.unravel_index(costs.argmax(), costs.shape)
    yield Statement(
        "By the gradient, head {head} of layer {layer} matters most; without it {without} of {count} {inputs} are "
        "classified correctly, with it {correct}.",
        {
            "layer": heads.best[0],
            "head": heads.best[1],
            "without": int(heads.n_correct_without[heads.best]),
            "correct": heads.n_correct,
            "count": count,
            "inputs": r.noun,
        },
    )
    yield Statement(
        "Leaving out head {head} of layer {layer} costs most, {cost:.3f} nats per input. Over all {all} heads, the "
        "rank correlation of the gradient with the increase of the loss without the head is {correlation:.2f}.",
        {
            "layer": int(costliest[0]),
            "head": int(costliest[1]),
            "cost": float(costs.max()),
            "all": costs.size,
            "correlation": spearman(heads.importance.ravel(), costs.ravel()),
        },
    )


def _limits(r: FaithfulnessResult) -> Iterator[Statement]:
    yield Statement(
        "Intervals and tests are over {inputs}, for this one model: another training could rank the maps differently.",
        {"inputs": r.noun},
    )
    yield Statement(
        "The model was never trained on inputs with missing tokens, so every curve partly shows its response to those; "
        "criteria that share a curve or an input are not independent. A difference counts as shown if p is at most "
        "{level} after correction.",
        {"level": ALPHA},
    )
