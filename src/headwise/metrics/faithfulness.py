"""Faithfulness of an attribution map, compared with random orders and with a baseline map.

Letters: N tokens, S sets of tokens, R orders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headwise.errors import DataError
from headwise.metrics.perturbation import (
    ValueFunction,
    auc,
    comprehensiveness,
    deletion_curve,
    insertion_curve,
    random_orders,
    rank_tokens,
    sufficiency,
)
from headwise.metrics.shapley import EXACT_UP_TO, TabulatedGame, coalitions, sampled_shapley, shapley
from headwise.shapes import Array, IntArray, bind

CONFIDENCE_BAND = 0.95  # fraction of random orders between the bounds
_BOUNDS = (50 - 50 * CONFIDENCE_BAND, 50 + 50 * CONFIDENCE_BAND)  # as percentiles


def spearman(a: Array, b: Array) -> float:
    r"""Spearman's rank correlation of two maps, with average ranks for ties; 0 if either is constant.

    .. math:: \frac{\sum_m (r_m - \bar r)(s_m - \bar s)}
              {\sqrt{\sum_m (r_m - \bar r)^2 \sum_m (s_m - \bar s)^2}}, \qquad r, s \text{ the ranks}

    Source: Spearman, "The Proof and Measurement of Association between Two Things" (1904).

    Parameters
    ----------
    a, b : ndarray of shape (N,)

    Raises
    ------
    ShapeError
        If the two differ in length.
    DataError
        If one contains NaN.

    Examples
    --------
    >>> import numpy as np
    >>> round(spearman(np.array([0.1, 0.2, 0.2, 0.5]), np.array([1.0, 2.0, 3.0, 9.0])), 4)
    0.9487
    """
    bind("N", a=a, b=b)
    for name, values in (("a", a), ("b", b)):
        if np.isnan(values).any():
            raise DataError(f"{name}: expected numbers that can be ranked; {int(np.isnan(values).sum())} are NaN.")
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (a, b)]
    length = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum()) / length if length > 0 else 0.0


@dataclass(frozen=True)
class Faithfulness:
    """Scores of an attribution map, and the same scores of random orders and of the ink.

    Areas are from 0 to 1. A faithful map has a smaller deletion area and a larger insertion area than random orders.

    Attributes
    ----------
    tokens : int
        N.
    full, empty : float
        Value of all tokens, and of none.
    deletion, insertion : float
        Areas with the tokens in the order of the map.
    random_deletion, random_insertion : (float, float, float)
        Those of random orders: mean, and the bounds of the middle 95%.
    ink_deletion, ink_insertion : float
        Those of the order of the ink, which needs no model.
    fraction_of_random_beaten_deletion, fraction_of_random_beaten_insertion : float
        Fraction of the random orders that the map beats.
    comprehensiveness, sufficiency : float
        As in ERASER, in the units of the value.
    shapley : float
        Spearman's rank correlation of the map with the tokens' Shapley values.
    ink_shapley : float
        That of the ink with the Shapley values.
    shapley_error : float
        Mean standard error of the Shapley values; 0 up to 16 tokens, where they are exact.
    orders : int
        Number of random orders.
    """

    tokens: int
    full: float
    empty: float
    deletion: float
    insertion: float
    random_deletion: tuple[float, float, float]
    random_insertion: tuple[float, float, float]
    ink_deletion: float
    ink_insertion: float
    fraction_of_random_beaten_deletion: float
    fraction_of_random_beaten_insertion: float
    comprehensiveness: float
    sufficiency: float
    shapley: float
    ink_shapley: float
    shapley_error: float
    orders: int


def faithfulness(
    value_function: ValueFunction,
    values: Array,
    ink: Array,
    *,
    orders: int = 1000,
    rng: np.random.Generator,
    exact_up_to: int = EXACT_UP_TO,
) -> tuple[Faithfulness, Array]:
    """Score a map by the cooperative game of the tokens.

    Up to `exact_up_to` tokens every set is evaluated once and the Shapley values are exact. Above, only the sets that
    the orders need are evaluated, and the Shapley values are estimated from the same orders.

    Parameters
    ----------
    value_function : callable
        The game.
    values : ndarray of shape (N,)
        The map.
    ink : ndarray of shape (N,)
        The baseline: fraction of ink of each token, or any other map that should be exceeded.
    orders : int
        Number of random orders, two or more.
    rng : numpy.random.Generator
        For random orders, and for ties.
    exact_up_to : int
        With how many tokens every set is evaluated, at most 16.

    Returns
    -------
    score : Faithfulness
    curves : ndarray of float64 of shape (2, 5, N + 1)
        Deletion and insertion curves: of the map, of the ink, and mean and bounds of the random orders.

    Raises
    ------
    DataError
        If map and ink differ in length or contain NaN, or there are fewer than two orders.

    Examples
    --------
    A game in which only the first token counts, and a map that ranks it first:

    >>> import numpy as np
    >>> score, curves = faithfulness(
    ...     lambda keep: keep[:, 0].astype(float), np.array([0.9, 0.1, 0.0]), np.zeros(3), rng=np.random.default_rng(0)
    ... )
    >>> round(score.deletion, 4), round(score.random_deletion[0], 1), score.shapley > score.ink_shapley
    (0.1667, 0.5, True)
    >>> curves[0, 0]
    array([1., 0., 0., 0.])
    """
    if values.shape != ink.shape or values.ndim != 1:
        raise DataError(f"ink: expected one value for each of the map's {values.shape} tokens; got {ink.shape}.")
    if np.isnan(values).any() or np.isnan(ink).any():
        raise DataError("values and ink: expected numbers that can be ranked; got NaN. Divided by zero?")
    if orders < 2:
        raise DataError(f"orders: expected two or more; got {orders}.")
    n = len(values)
    if n <= min(exact_up_to, EXACT_UP_TO):
        value_function = TabulatedGame(value_function(coalitions(n)))
    by_map, by_ink = rank_tokens(values, rng), rank_tokens(ink, rng)
    shuffled = random_orders(n, orders, rng)
    every = np.concatenate([[by_map, by_ink], shuffled])
    deleted, inserted = deletion_curve(value_function, every), insertion_curve(value_function, every)
    worths, error = (
        (shapley(value_function.values), 0.0)
        if isinstance(value_function, TabulatedGame)
        else _estimate(shuffled, inserted[2:])
    )
    areas_deleted, areas_inserted = auc(deleted), auc(inserted)
    score = Faithfulness(
        tokens=n,
        full=float(deleted[0, 0]),
        empty=float(deleted[0, -1]),
        deletion=float(areas_deleted[0]),
        insertion=float(areas_inserted[0]),
        random_deletion=_mean_and_bounds(areas_deleted[2:]),
        random_insertion=_mean_and_bounds(areas_inserted[2:]),
        ink_deletion=float(areas_deleted[1]),
        ink_insertion=float(areas_inserted[1]),
        fraction_of_random_beaten_deletion=float((areas_deleted[2:] > areas_deleted[0]).mean()),
        fraction_of_random_beaten_insertion=float((areas_inserted[2:] < areas_inserted[0]).mean()),
        comprehensiveness=float(comprehensiveness(deleted[0])),
        sufficiency=float(sufficiency(inserted[0])),
        shapley=spearman(values, worths),
        ink_shapley=spearman(ink, worths),
        shapley_error=error,
        orders=orders,
    )
    return score, _curves(np.stack([deleted, inserted]).astype(np.float64))


def _curves(measured: Array) -> Array:
    """(2, 2 + R, N + 1) -> (2, 5, N + 1): the first two orders, and the others' mean and bounds."""
    chance = measured[:, 2:]
    low, high = np.percentile(chance, _BOUNDS, axis=1)
    return np.stack([measured[:, 0], measured[:, 1], chance.mean(axis=1), low, high], axis=1)


def _estimate(orders: IntArray, curves: Array) -> tuple[Array, float]:
    estimate = sampled_shapley(orders, curves)
    return estimate.values, float(estimate.errors.mean())


def _mean_and_bounds(areas: Array) -> tuple[float, float, float]:
    low, high = np.percentile(areas, _BOUNDS)
    return float(areas.mean()), float(low), float(high)


def _ranks(values: Array) -> Array:
    """Ranks from 0, with the average rank for ties."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[where])
