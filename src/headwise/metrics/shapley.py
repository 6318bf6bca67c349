r"""Shapley values: what each token is worth, averaged over all orders in which they could come.

Letters: N tokens, S coalitions (sets of tokens), R orders. A coalition's number has bit m set where token m is kept.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.shapes import Array, BoolArray, IntArray, bind

__all__ = ["EXACT_UP_TO", "ShapleyEstimate", "TabulatedGame", "coalitions", "sampled_shapley", "shapley"]

EXACT_UP_TO = 16  # tokens: 65,536 coalitions, a model's forward pass each


def coalitions(tokens: int) -> BoolArray:
    """(2^N, N): every set of tokens, in the order of its number.

    Examples
    --------
    >>> coalitions(2).astype(int)
    array([[0, 0],
           [1, 0],
           [0, 1],
           [1, 1]])
    """
    return (np.arange(1 << tokens)[:, None] >> np.arange(tokens) & 1).astype(bool)


def shapley(worths: Array) -> Array:
    r"""The exact Shapley value of every token, from the worth of every coalition.

    .. math:: \phi_m = \sum_{S \not\ni m} \frac{|S|!\,(N - |S| - 1)!}{N!} \bigl(v(S \cup m) - v(S)\bigr)

    They sum to v(all) − v(none).

    Source: Shapley, "A Value for n-Person Games" (1953).

    Parameters
    ----------
    worths : ndarray of shape (2^N,)
        v of each coalition, in the order of `coalitions`.

    Returns
    -------
    ndarray of shape (N,)
        In float64.

    Raises
    ------
    DataError
        If there is not a worth for every coalition.

    Examples
    --------
    A left glove and two right ones, of which only a pair is worth anything:

    >>> import numpy as np
    >>> pair = np.array([left and (right or other) for left, right, other in coalitions(3)], float)
    >>> shapley(pair).round(4)
    array([0.6667, 0.1667, 0.1667])
    """
    n = max(worths.size.bit_length() - 1, 0)  # a game of no tokens has one coalition
    if worths.shape != (1 << n,):
        raise DataError(f"worths: expected one for each of the 2^N coalitions of N tokens; got shape {worths.shape}.")
    v = worths.astype(np.float64)
    sizes = np.bitwise_count(np.arange(1 << n))
    values = np.empty(n)
    for m in range(n):
        v_m, size = v.reshape(-1, 2, 1 << m), sizes.reshape(-1, 2, 1 << m)[:, 0]  # axis 1 is bit m
        chance = np.array([1 / (n * math.comb(n - 1, s)) for s in range(n)])[size]  # |S|! (N − |S| − 1)! / N!
        values[m] = (chance * (v_m[:, 1] - v_m[:, 0])).sum()
    return values


class TabulatedGame:
    """A game whose every coalition was played already: worths are looked up.

    Examples
    --------
    >>> import numpy as np
    >>> TabulatedGame(np.array([0.0, 0.25, 0.5, 1.0]))(np.array([[True, False], [True, True]]))
    array([0.25, 1.  ])
    """

    def __init__(self, worths: Array) -> None:
        self.values = worths

    def __call__(self, kept: BoolArray) -> Array:
        """(S, N) kept tokens -> (S,) worths."""
        return self.values[kept @ (1 << np.arange(kept.shape[-1]))]


class ShapleyEstimate(NamedTuple):
    """Shapley values estimated from some orders (N,), and the estimates' standard errors (N,)."""

    values: Array
    errors: Array


def sampled_shapley(orders: IntArray, curves: Array) -> ShapleyEstimate:
    r"""Shapley values estimated from random orders: what each token added when it came.

    .. math:: \hat\phi_m = \frac1R \sum_r v(S_r \cup m) - v(S_r), \qquad S_r \text{ those before } m \text{ in order } r

    They sum to v(all) − v(none) exactly, whatever the orders.

    Source: Castro, Gómez & Tejada, "Polynomial calculation of the Shapley value based on sampling" (2009).

    Parameters
    ----------
    orders : ndarray of int of shape (R, N)
        The tokens, first to come first; drawn at random.
    curves : ndarray of shape (R, N + 1)
        Worth of the first 0 … N tokens of each order: `headwise.metrics.perturbation.insertion_curve`.

    Returns
    -------
    ShapleyEstimate

    Raises
    ------
    ShapeError
        If there is not a curve of N + 1 points for each order.
    DataError
        If there are fewer than two orders, which tell no error.

    Examples
    --------
    Two orders of two tokens, which are worth something only together: what each adds depends on which comes first.

    >>> import numpy as np
    >>> found = sampled_shapley(np.array([[0, 1], [1, 0]]), np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
    >>> found.values, found.errors
    (array([0.5, 0.5]), array([0.5, 0.5]))
    """
    sizes = bind("R N", orders=orders)
    bind(f"{sizes['R']} {sizes['N'] + 1}", curves=curves)
    if sizes["R"] < 2:
        raise DataError("orders: expected two or more, so that their spread tells the error; got one.")
    added = np.empty(orders.shape)
    np.put_along_axis(added, orders, np.diff(curves.astype(np.float64), axis=1), axis=1)
    return ShapleyEstimate(added.mean(axis=0), added.std(axis=0, ddof=1) / math.sqrt(len(orders)))
