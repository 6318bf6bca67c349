"""Attribution maps: how much each player of an input matters, by attention, by gradients and by removal.

A map is one entry of `MAPS`: what it is, where it comes from, what it costs, and a function of a `ModelRun` that
returns a value per player. The rows of token-to-token matrices are those of the tokens that the head pools.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from headwise.attribution.relevance import attn_lrp
from headwise.attribution.run import ModelRun, Requirement, requirements_met
from headwise.errors import DataError
from headwise.metrics.concentration import rows_to_one
from headwise.metrics.contributions import compose
from headwise.metrics.flow import flow
from headwise.metrics.gradients import gradient_rollout, gradient_weighted, head_importance, integrated_gradients
from headwise.metrics.perturbation import insertion_curve, leave_one_out, random_orders
from headwise.metrics.rollout import rollout
from headwise.metrics.shapley import EXACT_UP_TO, coalitions, sampled_shapley, shapley
from headwise.models.base import Model
from headwise.shapes import Array
from headwise.validation import check_choice

IG_STEPS = 20  # points on the line from the baseline to the input
SHAPLEY_ORDERS = 30  # random orders from which Shapley values are sampled when there are too many sets


class AttributionMap(NamedTuple):
    """One map.

    Attributes
    ----------
    description : str
    source : str
        arXiv number of the paper.
    needs : Requirement
        What it is computed from.
    passes : str
        Forward + backward passes; P is the number of players.
    compute : callable
        Values (P,) of the players of a run.
    """

    description: str
    source: str
    needs: Requirement
    passes: str
    compute: Callable[[ModelRun], Array]


MAPS: dict[str, AttributionMap] = {
    "last layer": AttributionMap(
        "attention of the last layer, mean over heads", "1706.03762", "weights", "1 + 0",
        lambda run: _row(run, run.weights[-1].mean(axis=0)),
    ),
    "all layers": AttributionMap(
        "attention, mean over all layers and heads", "1706.03762", "weights", "1 + 0",
        lambda run: _row(run, run.weights.mean(axis=(0, 1))),
    ),
    "best head": AttributionMap(
        "attention of the head whose gate has the largest slope", "1905.10650", "gradients", "1 + 1",
        lambda run: _best_head(run),
    ),
    "rollout": AttributionMap(
        "attention multiplied over the layers, half of it the residual path", "2005.00928", "weights", "1 + 0",
        lambda run: _row(run, rollout(run.weights)),
    ),
    "flow": AttributionMap(
        "the largest flow through the attention of all layers", "2005.00928", "weights", "1 + 0",
        lambda run: run.players.sum(flow(run.weights, int(run.readout.argmax()))),
    ),
    "norm-weighted": AttributionMap(
        "‖Σ p v Wo‖, the length of what attention carries, mean over layers", "2004.10102", "parts", "1 + 0",
        lambda run: _row(run, np.mean([rows_to_one(s.norm_weighted()) for s in run.sublayers], axis=0)),
    ),
    "GlobEnc": AttributionMap(
        "lengths with residual path and norms, multiplied over the layers", "2205.03286", "parts", "1 + 0",
        lambda run: _row(run, compose(np.stack([s.globenc() for s in run.sublayers]))),
    ),
    "ALTI": AttributionMap(
        "how near each contribution is to the output, multiplied over the layers", "2203.04212", "parts", "1 + 0",
        lambda run: _row(run, compose(np.stack([s.alti() for s in run.sublayers]))),
    ),
    "last layer × gradient": AttributionMap(
        "attention of the last layer times its gradient where positive, mean over heads", "2103.15679", "gradients",
        "1 + 1", lambda run: _row(run, gradient_weighted(run.weights, run.gradients)[-1]),
    ),
    "gradient × attention": AttributionMap(
        "attention times its gradient, sum over layers, heads and queries", "1908.04626", "gradients", "1 + 1",
        lambda run: run.players.sum((run.weights * run.gradients).sum(axis=(0, 1, 2))),
    ),
    "Chefer": AttributionMap(
        "attention times its gradient where positive, accumulated over the layers", "2103.15679", "gradients", "1 + 1",
        lambda run: _row(run, gradient_rollout(run.weights, run.gradients)),
    ),
    "gradient × input": AttributionMap(
        "the gradient of the score times the input relative to its baseline", "1312.6034", "parts", "1 + 1",
        lambda run: _gradient_input(run),
    ),
    "AttnLRP": AttributionMap(
        "layer-wise relevance propagation through attention", "2402.05602", "parts", "1 + 1",
        lambda run: run.players.sum(attn_lrp(run.function, run.explained, run.forward)),
    ),
    "integrated gradients": AttributionMap(
        "gradients averaged from the baseline to the input, times their difference", "1703.01365", "parts",
        f"{IG_STEPS} + {IG_STEPS}", lambda run: _integrated_gradients(run),
    ),
    "leave-one-out": AttributionMap(
        "how much the log-odds fall without the player", "1612.08220", "scores", "P + 1",
        lambda run: leave_one_out(run.game.log_odds, len(run.players)),
    ),
    "Shapley values": AttributionMap(
        f"the mean effect on the probability over all sets of players, sampled above {EXACT_UP_TO} players",
        "1705.07874", "scores", f"2^P up to P = {EXACT_UP_TO}, then {SHAPLEY_ORDERS} P",
        lambda run: _shapley(run),
    ),
}  # fmt: skip


def available_maps(model: Model) -> tuple[str, ...]:
    """Names of the maps that can be computed for a model: without gradients or scores, fewer."""
    met = requirements_met(model)
    return tuple(name for name, entry in MAPS.items() if entry.needs in met)


def cheap_maps(names: Sequence[str]) -> tuple[str, ...]:
    """Those that cost at most one forward and one backward pass."""
    return tuple(name for name in names if MAPS[name].passes in ("1 + 0", "1 + 1"))


def compute_map(run: ModelRun, name: str) -> Array:
    """Values (P,) of the players by one map, in float64.

    Parameters
    ----------
    run : ModelRun
    name : str
        A key of `MAPS`.

    Raises
    ------
    DataError
        If there is no such map, or the model lacks what it needs.

    Examples
    --------
    >>> from headwise.data.mnist import load_bundled_mnist
    >>> from headwise.models.adapters import ViT
    >>> from headwise.train.checkpoint import pretrained_vit
    >>> model = ViT(pretrained_vit().config, pretrained_vit().params)
    >>> compute_map(ModelRun(model, load_bundled_mnist().test.images[0]), "AttnLRP").shape
    (16,)
    """
    check_choice("map", name, MAPS)
    if name not in (possible := available_maps(run.model)):
        raise DataError(
            f"map: {name} needs {MAPS[name].needs} of the model, which are not available; possible are "
            f"{', '.join(possible)}."
        )
    return MAPS[name].compute(run).astype(np.float64)


def _row(run: ModelRun, matrix: Array) -> Array:
    """The row of a matrix (T, T) of the tokens that the head pools."""
    return run.players.sum(run.readout @ matrix)


def _best_head(run: ModelRun) -> Array:
    importance = head_importance(run.weights[None], run.gradients[None])
    layer, head = np.unravel_index(importance.argmax(), importance.shape)
    return _row(run, run.weights[layer, head])


def _gradient_input(run: ModelRun) -> Array:
    gradient = run.function.backward(run.explained, run.forward).input[0]
    return run.players.sum(run.function.by_token(gradient * (run.function.x - run.function.baseline)))


def _integrated_gradients(run: ModelRun) -> Array:
    function = run.function
    values = integrated_gradients(
        lambda x: function.gradient(x, run.explained), function.x, function.baseline, IG_STEPS
    )
    return run.players.sum(function.by_token(values))


def _shapley(run: ModelRun) -> Array:
    count = len(run.players)
    if count <= EXACT_UP_TO:
        return shapley(run.game(coalitions(count)))
    orders = random_orders(count, SHAPLEY_ORDERS, run.rng())
    return sampled_shapley(orders, insertion_curve(run.game, orders)).values
