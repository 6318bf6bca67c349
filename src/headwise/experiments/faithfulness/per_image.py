"""One digit: what the model answers while its tokens are taken away and put in, in the order of every kind of map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.experiments.faithfulness.maps import MAPS, REFERENCES, maps
from headwise.metrics.faithfulness import spearman
from headwise.metrics.perturbation import deletion_curve, insertion_curve, random_orders, rank_tokens
from headwise.metrics.shapley import EXACT_UP_TO, TabulatedGame, coalitions, sampled_shapley, shapley
from headwise.metrics.spatial import foreground_fraction
from headwise.models.adapters import ViT
from headwise.models.attention_gradients import attention_and_gradients
from headwise.models.token_ablation import ABLATIONS, TokenGame
from headwise.models.vit import ViTConfig
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray
from headwise.thresholds import INK

__all__ = ["CHANCE", "KINDS", "ORDERS", "SAMPLED", "DigitAudit", "audit_digit"]

KINDS = (*MAPS, *REFERENCES)
CHANCE = "random orders"
ORDERS = 30  # random ones, whose mean is chance
SAMPLED = 200  # random orders to estimate Shapley values from, where there are too many sets to play them all

_ARRAYS = ("curves", "shapley", "first")


@dataclass(frozen=True)
class DigitAudit:
    """What one digit says.

    Attributes
    ----------
    predicted : int
        The class that the model reads, whose probability all curves are of.
    curves : ndarray of shape (kinds + 1, missing, 2, N + 1)
        Deletion and insertion, for each kind in `KINDS` and the mean over random orders, for each way to be missing.
    shapley : ndarray of shape (kinds,)
        Rank correlation of each kind of map with the Shapley values.
    first : ndarray of int of shape (kinds,)
        How many tokens share each map's largest value; where it is more than one, chance says which is first.
    error : float
        Mean standard error of the Shapley values; 0 where they are exact.
    """

    predicted: int
    curves: Array
    shapley: Array
    first: IntArray
    error: float

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {"predicted": self.predicted, "error": self.error, **arrays}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> DigitAudit:
        """What `to_json` told."""
        return cls(**told | {name: np.array(told[name]) for name in _ARRAYS})


def audit_digit(
    image: Array, params: Params, model: ViTConfig, head: tuple[int, int], rng: np.random.Generator
) -> DigitAudit:
    """Play the games of one digit.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
    params, model : dict, ViT
    head : (int, int)
        Layer and head that matter most.
    rng : numpy.random.Generator
        For the random orders, and the order of equal values.

    Returns
    -------
    DigitAudit
    """
    closer = attention_and_gradients(image[None], params, model)
    target = int(closer.target[0])
    cut = model.image_tokenizer
    n = cut.num_tokens
    random = random_orders(n, ORDERS, rng)
    worth = TokenGame(ViT(model, params), image, target)
    if n <= EXACT_UP_TO:
        played = TabulatedGame(worth(coalitions(n)))
        values, error = shapley(played.values), 0.0
    else:
        orders = random_orders(n, SAMPLED, rng)
        values, errors = sampled_shapley(orders, insertion_curve(worth, orders))
        error = float(errors.mean())
    ink = foreground_fraction(cut.permute(image) > INK, cut.boxes)
    every = np.stack([*maps(closer.weights[0], closer.gradients[0], head), ink, np.zeros(n), values])
    orders = np.concatenate([[rank_tokens(each, rng) for each in every], random])
    curves = []
    for missing in ABLATIONS:
        exact = missing == "removed" and n <= EXACT_UP_TO
        game = played if exact else TokenGame(ViT(model, params, missing), image, target)
        both = np.stack([deletion_curve(game, orders), insertion_curve(game, orders)], axis=1).astype(np.float64)
        curves.append(np.concatenate([both[: len(every)], both[len(every) :].mean(axis=0, keepdims=True)]))
    found = np.array([spearman(each, values) for each in every])
    first = (every == every.max(axis=1, keepdims=True)).sum(axis=1)
    return DigitAudit(target, np.stack(curves, axis=1), found, first, error)
