"""Deletion and insertion curves of one input, with its players ranked by every map and reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headwise.attribution import ModelRun, compute_map, is_differentiable, player_game
from headwise.experiments.faithfulness.scope import Scope, baseline_map
from headwise.experiments.store import Outcome
from headwise.metrics.faithfulness import spearman
from headwise.metrics.perturbation import (
    auc,
    comprehensiveness,
    deletion_curve,
    insertion_curve,
    random_orders,
    rank_tokens,
    sufficiency,
)
from headwise.metrics.shapley import TabulatedGame, coalitions, shapley
from headwise.shapes import Array, IntArray

RANDOM_ORDERS = 30  # their mean curve is chance


@dataclass(frozen=True)
class InputResult:
    """The curves and scores of one input."""

    predicted: int  # the class that the model predicts; all curves are of its probability
    correct: bool  # whether it is the label
    players: int  # P
    # (rankings + 1, ablations, 2, P + 1): deletion and insertion, for each ranking and the mean over random orders, for
    # each ablation
    curves: Array
    scores: Array  # (rankings + 1, criteria)
    # (rankings,): how many players share the largest value; if several do, the first is chosen at random
    n_tied_first: IntArray


def evaluate_input(run: ModelRun, label: int, scope: Scope, rng: np.random.Generator) -> Outcome:
    """Compute the curves of one input of class `label` (−1 if unknown): the fields of `InputResult`.

    The run has at most 16 players, so that every set of them can be evaluated.
    """
    count = len(run.players)
    table = TabulatedGame(run.game(coalitions(count)))
    worths = shapley(table.values)
    maps = [worths if name == "Shapley values" else compute_map(run, name) for name in scope.maps]
    x = run.function.x if is_differentiable(run.model) else None
    values = np.stack([*maps, run.players.sum(baseline_map(run.model, run.input, x)), np.zeros(count)])
    orders = np.concatenate([[rank_tokens(row, rng) for row in values], random_orders(count, RANDOM_ORDERS, rng)])
    curves = np.stack([_curves(run, name, scope, table, orders, len(values)) for name in scope.ablations], axis=1)
    correlations = np.array([*(spearman(row, worths) for row in values), 0.0])  # those of random orders are zero
    deletion, insertion = curves[..., 0, :], curves[..., 1, :]
    measures = [auc(deletion), auc(insertion), comprehensiveness(deletion), sufficiency(insertion)]
    by_ablation = np.stack(measures, axis=-1).reshape(len(curves), -1)
    summary = {"predicted": run.explained, "correct": run.explained == label, "players": count}
    scores = np.concatenate([by_ablation, correlations[:, None]], axis=1)
    n_tied_first = (values == values.max(axis=1, keepdims=True)).sum(axis=1)
    return Outcome(summary, {"curves": curves, "scores": scores, "n_tied_first": n_tied_first})


def _curves(
    run: ModelRun, ablation: str, scope: Scope, table: TabulatedGame, orders: IntArray, n_rankings: int
) -> Array:
    """Deletion and insertion (rankings + 1, 2, P + 1), the last the mean over the random orders."""
    first = ablation == scope.ablations[0]
    function = run.function if is_differentiable(run.model) else None
    game = table if first else player_game(run.model, run.input, run.explained, run.players, ablation, function)
    both = np.stack([deletion_curve(game, orders), insertion_curve(game, orders)], axis=1).astype(np.float64)
    return np.concatenate([both[:n_rankings], both[n_rankings:].mean(axis=0, keepdims=True)])
