"""Measures of attention weights as distributions: entropy, effective number, weight on the class token and on itself.

Letters: ... leading axes (layers, heads), N queries, M keys.
"""

from __future__ import annotations

import numpy as np

from headwise.shapes import Array, as_float_arrays


def entropy(p: Array) -> Array:
    r"""Shannon entropy in bits of distributions over the last axis.

    .. math:: h = -\sum_m p_m \log_2 p_m

    Source: Shannon, "A Mathematical Theory of Communication" (1948).

    Parameters
    ----------
    p : ndarray of shape (..., M)
        Rows that sum to one; a zero adds nothing.

    Returns
    -------
    ndarray of shape (...)
        From 0, all weight on one token, to log₂ M, uniform.

    Raises
    ------
    DataError
        If values are not floating-point.

    Examples
    --------
    >>> import numpy as np
    >>> entropy(np.array([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]]))
    array([0., 2.])
    """
    (p,) = as_float_arrays(p=p)
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return np.asarray(0 - (p * logs).sum(axis=-1))  # 0 − x, so that no entropy is −0


def effective_number(p: Array) -> Array:
    r"""How many equally weighted tokens have the same entropy: :math:`2^h`, from 1 to M.

    Also called perplexity. Source: Jelinek et al., "Perplexity - a measure of the difficulty of speech recognition
    tasks" (1977).

    Parameters
    ----------
    p : ndarray of shape (..., M)
        Rows that sum to one.

    Returns
    -------
    ndarray of shape (...)

    Examples
    --------
    >>> import numpy as np
    >>> effective_number(np.array([0.5, 0.5, 0.0, 0.0]))
    array(2.)
    """
    return np.asarray(np.exp2(entropy(p)))


def drop_class_token(weights: Array) -> tuple[Array, Array]:
    """Attention among the tokens of the data, renormalized without the class token, and the weight that this drops.

    Parameters
    ----------
    weights : ndarray of shape (..., 1 + N, 1 + N)
        Attention weights with the class token first.

    Returns
    -------
    renormalized : ndarray of shape (..., N, N)
        Rows sum to one.
    dropped : ndarray of shape (..., N)
        Weight of each row on the class token.

    Examples
    --------
    >>> import numpy as np
    >>> renormalized, dropped = drop_class_token(np.full((3, 3), 1 / 3))
    >>> renormalized[0], dropped.round(2)
    (array([0.5, 0.5]), array([0.33, 0.33]))
    """
    return rows_to_one(weights[..., 1:, 1:]), weights[..., 1:, 0]


def class_token_weight(weights: Array) -> Array:
    """Weight (..., N) of every token on token 0, the class token, for attention weights (..., N, N).

    Examples
    --------
    >>> import numpy as np
    >>> class_token_weight(np.array([[0.5, 0.25, 0.25], [0.125, 0.875, 0.0], [1.0, 0.0, 0.0]]))
    array([0.5  , 0.125, 1.   ])
    """
    return weights[..., 0]


def self_weight(weights: Array) -> Array:
    """Weight (..., N) of every token on itself, for attention weights (..., N, N).

    Examples
    --------
    >>> import numpy as np
    >>> self_weight(np.array([[0.5, 0.25, 0.25], [0.125, 0.875, 0.0], [1.0, 0.0, 0.0]]))
    array([0.5  , 0.875, 0.   ])
    """
    return np.asarray(np.diagonal(weights, axis1=-2, axis2=-1))


def rows_to_one(values: Array) -> Array:
    """Divide non-negative values (..., N) by their sum; rows of zeros stay zero."""
    total = values.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(values, total, out=np.zeros_like(values), where=total > 0))


def normalize_rows(values: Array) -> Array:
    """Divide non-negative values (..., N) by their sum; rows of zeros become uniform.

    Raises
    ------
    DataError
        If values are not floating-point.

    Examples
    --------
    >>> import numpy as np
    >>> normalize_rows(np.array([[1.0, 3.0], [0.0, 0.0]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    (values,) = as_float_arrays(values=values)
    total = values.sum(axis=-1, keepdims=True, dtype=np.result_type(values, np.float32))  # float16 overflows at 65504
    even = np.full_like(values, 1 / values.shape[-1])
    return np.asarray(np.divide(values, total, out=even, where=total > 0))
