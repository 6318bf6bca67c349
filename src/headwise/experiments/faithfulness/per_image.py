"""Deletion and insertion curves of one digit, with its tokens ranked by every map and reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headwise.experiments.faithfulness.maps import MAPS, REFERENCES, maps
from headwise.experiments.store import Outcome
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

__all__ = ["CHANCE", "RANDOM_ORDERS", "RANKINGS", "SHAPLEY_ORDERS", "ImageResult", "evaluate_image"]

RANKINGS = (*MAPS, *REFERENCES)
CHANCE = "random orders"
RANDOM_ORDERS = 30  # their mean curve is chance
SHAPLEY_ORDERS = 200  # random orders to estimate Shapley values from, if there are too many sets of tokens for all


@dataclass(frozen=True)
class ImageResult:
    """The curves of one digit.

    Attributes
    ----------
    predicted : int
        The class that the model predicts; all curves are of its probability.
    shapley_error : float
        Mean standard error of the Shapley values; 0 if they are exact.
    curves : ndarray of shape (rankings + 1, ablations, 2, N + 1)
        Deletion and insertion, for each of `RANKINGS` and the mean over random orders, for each ablation.
    shapley_correlation : ndarray of shape (rankings,)
        Spearman's correlation of each ranking with the Shapley values.
    n_tied_first : ndarray of int of shape (rankings,)
        How many tokens share the largest value; if several do, the first is chosen at random.
    """

    predicted: int
    shapley_error: float
    curves: Array
    shapley_correlation: Array
    n_tied_first: IntArray


def evaluate_image(
    image: Array, params: Params, model: ViTConfig, head: tuple[int, int], rng: np.random.Generator
) -> Outcome:
    """Compute the curves of one digit: the fields of `ImageResult`.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
    params, model : dict, ViTConfig
    head : (int, int)
        Layer and index of the most important head.
    rng : numpy.random.Generator
        For the random orders, and the order of equal values.
    """
    record = attention_and_gradients(image[None], params, model)
    target = int(record.target[0])
    tokenizer = model.image_tokenizer
    n = tokenizer.num_tokens
    random = random_orders(n, RANDOM_ORDERS, rng)
    game = TokenGame(ViT(model, params), image, target)
    if n <= EXACT_UP_TO:
        tabulated = TabulatedGame(game(coalitions(n)))
        values, error = shapley(tabulated.values), 0.0
    else:
        orders = random_orders(n, SHAPLEY_ORDERS, rng)
        values, errors = sampled_shapley(orders, insertion_curve(game, orders))
        error = float(errors.mean())
    ink = foreground_fraction(tokenizer.permute(image) > INK, tokenizer.boxes)
    scores = np.stack([*maps(record.weights[0], record.gradients[0], head), ink, np.zeros(n), values])
    orders = np.concatenate([[rank_tokens(row, rng) for row in scores], random])
    curves = []
    for ablation in ABLATIONS:
        exact = ablation == "removed" and n <= EXACT_UP_TO
        ablated = tabulated if exact else TokenGame(ViT(model, params, ablation), image, target)
        both = np.stack([deletion_curve(ablated, orders), insertion_curve(ablated, orders)], axis=1).astype(np.float64)
        chance = both[len(scores) :].mean(axis=0, keepdims=True)
        curves.append(np.concatenate([both[: len(scores)], chance]))
    return Outcome(
        {"predicted": target, "shapley_error": error},
        {
            "curves": np.stack(curves, axis=1),
            "shapley_correlation": np.array([spearman(row, values) for row in scores]),
            "n_tied_first": (scores == scores.max(axis=1, keepdims=True)).sum(axis=1),
        },
    )
