"""Perturbation tests: values of a model as tokens are deleted or inserted in the order of a map.

A model is represented by a value function: sets of kept tokens (S, N) -> values (S,), such as the probability of a
class. The value function decides what replaces a missing token.

Letters: N tokens, S sets of tokens, R orders; ... leading axes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headwise.errors import DataError
from headwise.shapes import Array, BoolArray, IntArray

ValueFunction = Callable[[BoolArray], Array]

_SHARES = (0.05, 0.1, 0.2, 0.5)  # of the tokens; as in ERASER, without 1%, which for few tokens is the same as 5%


def rank_tokens(values: Array, rng: np.random.Generator) -> IntArray:
    """Order tokens from the largest value to the smallest, with ties in random order.

    Parameters
    ----------
    values : ndarray of shape (N,)
        A map. A constant map gives a random order.
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
    """Random orders (R, N) of the tokens.

    Examples
    --------
    >>> import numpy as np
    >>> random_orders(3, 2, np.random.default_rng(0))
    array([[2, 0, 1],
           [2, 1, 0]])
    """
    return np.asarray(rng.permuted(np.tile(np.arange(tokens), (count, 1)), axis=1))


def deletion_curve(value_function: ValueFunction, orders: IntArray) -> Array:
    r"""Values as tokens are deleted in the given order.

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
        If an order is not a permutation of the tokens.

    Examples
    --------
    A game in which only the last of three tokens counts:

    >>> import numpy as np
    >>> deletion_curve(lambda keep: keep[:, 2].astype(float), np.array([0, 2, 1]))
    array([1., 1., 0., 0.])
    """
    return _curves(value_function, _positions(orders)[..., None, :] >= _steps(orders))


def insertion_curve(value_function: ValueFunction, orders: IntArray) -> Array:
    r"""Values as tokens are inserted in the given order.

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
        If an order is not a permutation of the tokens.

    Examples
    --------
    >>> import numpy as np
    >>> insertion_curve(lambda keep: keep[:, 2].astype(float), np.array([0, 2, 1]))
    array([0., 0., 1., 1.])
    """
    return _curves(value_function, _positions(orders)[..., None, :] < _steps(orders))


def leave_one_out(value_function: ValueFunction, tokens: int) -> Array:
    r"""How much the value falls without each token.

    .. math:: v(\text{all}) - v(\text{all} \setminus m)

    Source: Li, Monroe & Jurafsky, "Understanding Neural Networks through Representation Erasure", arXiv 1612.08220
    (2016), equation 1.

    Parameters
    ----------
    value_function : callable
        The game. With log-odds instead of probabilities, tokens still differ where the model is certain.
    tokens : int
        N.

    Returns
    -------
    ndarray of shape (N,)

    Examples
    --------
    >>> import numpy as np
    >>> leave_one_out(lambda keep: keep @ np.array([0.25, 0.5]), 2)
    array([0.25, 0.5 ])
    """
    values = value_function(np.concatenate([np.ones((1, tokens), bool), ~np.eye(tokens, dtype=bool)]))
    return np.asarray(values[0] - values[1:])


def auc(curves: Array) -> Array:
    r"""Area under a curve over the fraction of deleted or inserted tokens, by the trapezoidal rule.

    .. math:: \frac1N \sum_{k=1}^N \frac{v_{k-1} + v_k}2

    A faithful order has a small deletion area and a large insertion area.

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
    r"""Area over the perturbation curve: mean decrease of the value over the steps of deletion.

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
    r"""Decrease of the value without the top-ranked tokens; large is good.

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
    r"""Decrease of the value with only the top-ranked tokens; small is good.

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


def _curves(value_function: ValueFunction, keep: BoolArray) -> Array:
    """Values (..., N + 1) of sets (..., N + 1, N); each distinct set is evaluated once."""
    n = keep.shape[-1]
    distinct, inverse = np.unique(keep.reshape(-1, n), axis=0, return_inverse=True)
    return np.asarray(value_function(distinct)[inverse].reshape(keep.shape[:-1]))


def _positions(orders: IntArray) -> IntArray:
    """(..., N): position of each token in the order, the inverse permutation."""
    if not np.array_equal(np.sort(orders, axis=-1), np.broadcast_to(np.arange(orders.shape[-1]), orders.shape)):
        raise DataError(
            f"orders: expected every token from 0 to {orders.shape[-1] - 1} once; one is missing or repeated."
        )
    return np.asarray(np.argsort(orders, axis=-1))


def _steps(orders: IntArray) -> IntArray:
    """(N + 1, 1): number of deleted or inserted tokens."""
    return np.arange(orders.shape[-1] + 1)[:, None]


def _sizes(curves: Array) -> IntArray:
    """Numbers of tokens for the fractions of ERASER."""
    return np.asarray(np.ceil(np.array(_SHARES) * (curves.shape[-1] - 1)).astype(np.int64))
