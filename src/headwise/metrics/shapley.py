r"""Shapley values: the contribution of each token, averaged over all orders.

Letters: N tokens, S coalitions (sets of tokens), R orders. A coalition's number has bit m set where token m is kept.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.shapes import Array, BoolArray, IntArray, bind

EXACT_UP_TO = 16  # tokens: 65,536 coalitions, one forward pass each


def coalitions(tokens: int) -> BoolArray:
    """All sets (2^N, N) of tokens, in the order of their numbers.

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
    r"""Exact Shapley values from the values of all coalitions.

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
        If there is not a value for every coalition.

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
        raise DataError(f"worths: expected one value per coalition of N tokens, (2^N,); got {worths.shape}.")
    v = worths.astype(np.float64)
    sizes = np.bitwise_count(np.arange(1 << n))
    values = np.empty(n)
    for m in range(n):
        v_m, size = v.reshape(-1, 2, 1 << m), sizes.reshape(-1, 2, 1 << m)[:, 0]  # axis 1 is bit m
        chance = np.array([1 / (n * math.comb(n - 1, s)) for s in range(n)])[size]  # |S|! (N − |S| − 1)! / N!
        values[m] = (chance * (v_m[:, 1] - v_m[:, 0])).sum()
    return values


class TabulatedGame:
    """A value function that looks up the values of all coalitions.

    Examples
    --------
    >>> import numpy as np
    >>> TabulatedGame(np.array([0.0, 0.25, 0.5, 1.0]))(np.array([[True, False], [True, True]]))
    array([0.25, 1.  ])
    """

    def __init__(self, worths: Array) -> None:
        self.values = worths

    def __call__(self, keep: BoolArray) -> Array:
        """Values (S,) of sets (S, N) of kept tokens."""
        return self.values[keep @ (1 << np.arange(keep.shape[-1]))]


class ShapleyEstimate(NamedTuple):
    """Shapley values estimated from some orders (N,), and the estimates' standard errors (N,)."""

    values: Array
    errors: Array


def sampled_shapley(orders: IntArray, curves: Array) -> ShapleyEstimate:
    r"""Shapley values estimated from random orders: the mean increase when a token is added.

    .. math:: \hat\phi_m = \frac1R \sum_r v(S_r \cup m) - v(S_r), \qquad S_r \text{ those before } m \text{ in order } r

    They sum to v(all) − v(none) exactly, whatever the orders.

    Source: Castro, Gómez & Tejada, "Polynomial calculation of the Shapley value based on sampling" (2009).

    Parameters
    ----------
    orders : ndarray of int of shape (R, N)
        Random orders of the tokens.
    curves : ndarray of shape (R, N + 1)
        Values of the first 0 … N tokens of each order: `headwise.metrics.perturbation.insertion_curve`.

    Raises
    ------
    ShapeError
        If there is not a curve of N + 1 points for each order.
    DataError
        If there are fewer than two orders, which give no error estimate.

    Examples
    --------
    Two tokens that have a value only together: the contribution of each depends on the order.

    >>> import numpy as np
    >>> estimate = sampled_shapley(np.array([[0, 1], [1, 0]]), np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))
    >>> estimate.values, estimate.errors
    (array([0.5, 0.5]), array([0.5, 0.5]))
    """
    sizes = bind("R N", orders=orders)
    bind(f"{sizes['R']} {sizes['N'] + 1}", curves=curves)
    if sizes["R"] < 2:
        raise DataError("orders: expected two or more, to estimate the error; got one.")
    added = np.empty(orders.shape)
    np.put_along_axis(added, orders, np.diff(curves.astype(np.float64), axis=1), axis=1)
    return ShapleyEstimate(added.mean(axis=0), added.std(axis=0, ddof=1) / math.sqrt(len(orders)))
