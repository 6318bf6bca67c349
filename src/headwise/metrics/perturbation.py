"""Deletion and insertion: take tokens away in a map's order, or put them in, and see what the model answers.

Everything is a function of a game, ``worth(kept)``: (S, N) sets of kept tokens -> (S,) what the model answers to each,
such as the probability of a class. What the model sees in the place of a missing token is the game's affair.

Letters: N tokens, S sets of tokens, R orders; ... leading axes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headwise.errors import DataError
from headwise.shapes import Array, BoolArray, IntArray

__all__ = [
    "ValueFunction",
    "aopc",
    "auc",
    "comprehensiveness",
    "deletion_curve",
    "insertion_curve",
    "random_orders",
    "rank_tokens",
    "sufficiency",
]

ValueFunction = Callable[[BoolArray], Array]

_SHARES = (0.05, 0.1, 0.2, 0.5)  # of the tokens; ERASER's, but for 1%, which of few tokens is the same one as 5%


def rank_tokens(values: Array, rng: np.random.Generator) -> IntArray:
    """The tokens from the largest value to the smallest, those of equal value in random order.

    Parameters
    ----------
    values : ndarray of shape (N,)
        A map: a value for each token. One that is all alike is a random order.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int of shape (N,)

    Examples
    --------
    >>> import numpy as np
    >>> rank_tokens(np.array([0.25, 0.125, 0.625]), np.random.default_rng(0))
    array([2, 0, 1])
    """
    return np.asarray(np.lexsort((rng.random(values.shape), -values)))


def random_orders(tokens: int, count: int, rng: np.random.Generator) -> IntArray:
    """(R, N): random orders of the tokens, the baseline of every order.

    Examples
    --------
    >>> import numpy as np
    >>> random_orders(3, 2, np.random.default_rng(0))
    array([[2, 0, 1],
           [2, 1, 0]])
    """
    return np.asarray(rng.permuted(np.tile(np.arange(tokens), (count, 1)), axis=1))


def deletion_curve(value_function: ValueFunction, orders: IntArray) -> Array:
    r"""What the model answers while tokens are taken away, the first in the order first.

    .. math:: v(\text{all} \setminus \{m_1 \ldots m_k\}), \quad k = 0 \ldots N, \qquad m_1 \ldots m_N \text{ the order}

    Source: Petsiuk, Das & Saenko, "RISE", arXiv 1806.07421 (2018). It is the positive perturbation of
    Chefer, Gur & Wolf, arXiv 2012.09838 (2020), and with the least important first their negative one.

    Parameters
    ----------
    value_function : callable
        The game.
    orders : ndarray of int of shape (..., N)

    Returns
    -------
    ndarray of shape (..., N + 1)
        From all tokens to none.

    Raises
    ------
    DataError
        If an order is no permutation of the tokens.

    Examples
    --------
    A game in which only the last of three tokens counts:

    >>> import numpy as np
    >>> deletion_curve(lambda kept: kept[:, 2].astype(float), np.array([0, 2, 1]))
    array([1., 1., 0., 0.])
    """
    return _curves(value_function, _places(orders)[..., None, :] >= _steps(orders))


def insertion_curve(value_function: ValueFunction, orders: IntArray) -> Array:
    r"""The value as tokens are added in the given order: the counterpart of `deletion_curve`.

    .. math:: v(\{m_1 \ldots m_k\}), \quad k = 0 \ldots N, \qquad m_1 \ldots m_N \text{ the order}

    Source: Petsiuk, Das & Saenko, "RISE", arXiv 1806.07421 (2018).

    Parameters
    ----------
    value_function : callable
        The game.
    orders : ndarray of int of shape (..., N)

    Returns
    -------
    ndarray of shape (..., N + 1)
        From no token to all.

    Raises
    ------
    DataError
        If an order is no permutation of the tokens.

    Examples
    --------
    >>> import numpy as np
    >>> insertion_curve(lambda kept: kept[:, 2].astype(float), np.array([0, 2, 1]))
    array([0., 0., 1., 1.])
    """
    return _curves(value_function, _places(orders)[..., None, :] < _steps(orders))


def auc(curves: Array) -> Array:
    r"""The area below a curve, over the share of tokens taken or put, by trapezia.

    .. math:: \frac1N \sum_{k=1}^N \frac{v_{k-1} + v_k}2

    A faithful order has a small area of deletion and a large one of insertion.

    Source: Petsiuk, Das & Saenko, "RISE", arXiv 1806.07421 (2018).

    Parameters
    ----------
    curves : ndarray of shape (..., N + 1)
        From `deletion_curve` or `insertion_curve`.

    Returns
    -------
    ndarray of shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> auc(np.array([1.0, 0.5, 0.0]))
    array(0.5)
    """
    return np.asarray(np.trapezoid(curves, dx=1 / (curves.shape[-1] - 1), axis=-1))


def aopc(curves: Array) -> Array:
    r"""Area over the perturbation curve: how far deletion brings the answer down, the mean over its steps.

    .. math:: \frac1{N + 1} \sum_{k=0}^N v(\text{all}) - v(\text{all but the first } k)

    Source: Samek et al., arXiv 1509.06321 (2015), equation 12.

    Parameters
    ----------
    curves : ndarray of shape (..., N + 1)
        From `deletion_curve`.

    Returns
    -------
    ndarray of shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> aopc(np.array([1.0, 0.25, 0.25]))
    array(0.5)
    """
    return np.asarray((curves[..., :1] - curves).mean(axis=-1))


def comprehensiveness(curves: Array) -> Array:
    r"""How much the answer loses without the tokens that a map puts first; large is good.

    .. math:: v(\text{all}) - v(\text{all} \setminus r_k), \quad
              r_k \text{ the first } \lceil kN \rceil \text{ tokens, the mean over } k = 5, 10, 20, 50\%

    Source: DeYoung et al., "ERASER", arXiv 1911.03429 (2020), equation 1 and section 4.2.

    Parameters
    ----------
    curves : ndarray of shape (..., N + 1)
        From `deletion_curve`.

    Returns
    -------
    ndarray of shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> comprehensiveness(np.array([1.0, 0.5, 0.0]))  # of two tokens, each of the shares is one
    array(0.5)
    """
    return np.asarray(curves[..., 0] - curves[..., _sizes(curves)].mean(axis=-1))


def sufficiency(curves: Array) -> Array:
    r"""How much the answer loses when only the tokens that a map puts first are there; small is good.

    .. math:: v(\text{all}) - v(r_k), \quad r_k \text{ as for } `comprehensiveness`

    Source: DeYoung et al., "ERASER", arXiv 1911.03429 (2020), equation 2 and section 4.2.

    Parameters
    ----------
    curves : ndarray of shape (..., N + 1)
        From `insertion_curve`.

    Returns
    -------
    ndarray of shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> sufficiency(np.array([0.0, 0.75, 1.0]))
    array(0.25)
    """
    return np.asarray(curves[..., -1] - curves[..., _sizes(curves)].mean(axis=-1))


def _curves(worth: ValueFunction, kept: BoolArray) -> Array:
    """(..., N + 1, N) sets -> (..., N + 1); each different set is played once."""
    n = kept.shape[-1]
    different, where = np.unique(kept.reshape(-1, n), axis=0, return_inverse=True)
    return np.asarray(worth(different)[where].reshape(kept.shape[:-1]))


def _places(orders: IntArray) -> IntArray:
    """(..., N): where in the order each token comes, the inverse of the permutation."""
    if not np.array_equal(np.sort(orders, axis=-1), np.broadcast_to(np.arange(orders.shape[-1]), orders.shape)):
        raise DataError(
            f"orders: expected each of the {orders.shape[-1]} tokens once, from 0; one is missing or twice."
        )
    return np.asarray(np.argsort(orders, axis=-1))


def _steps(orders: IntArray) -> IntArray:
    """(N + 1, 1): how many tokens were taken or put, from none to all."""
    return np.arange(orders.shape[-1] + 1)[:, None]


def _sizes(curves: Array) -> IntArray:
    """How many tokens ERASER's shares are, of N."""
    return np.asarray(np.ceil(np.array(_SHARES) * (curves.shape[-1] - 1)).astype(np.int64))
