"""Measures of attention weights as distributions: entropy, effective number, what is on the class token and on itself.

Letters: ... leading axes (layers, heads), N queries, M keys.
"""

from __future__ import annotations

import numpy as np

from headwise.shapes import Array, as_float_arrays

__all__ = ["class_token_weight", "drop_class_token", "effective_number", "entropy", "normalize_rows", "self_weight"]


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
        From 0, all on one, to log₂ M, all alike.

    Raises
    ------
    DataError
        If they are no floats.

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
    """What the tokens of the data attend to among themselves, and how much of their weight that leaves out.

    Parameters
    ----------
    weights : ndarray of shape (..., 1 + N, 1 + N)
        Attention weights with the class token first.

    Returns
    -------
    kept : ndarray of shape (..., N, N)
        Rows made to sum to one again.
    dropped : ndarray of shape (..., N)
        The weight on the class token, of each row.

    Examples
    --------
    >>> import numpy as np
    >>> kept, dropped = drop_class_token(np.full((3, 3), 1 / 3))
    >>> kept[0], dropped.round(2)
    (array([0.5, 0.5]), array([0.33, 0.33]))
    """
    kept = weights[..., 1:, 1:]
    total = kept.sum(axis=-1, keepdims=True)
    return np.divide(kept, total, out=np.zeros_like(kept), where=total > 0), weights[..., 1:, 0]


def class_token_weight(weights: Array) -> Array:
    """(..., N, N) weights whose token 0 is the class token -> (..., N): the weight each token puts on it, itself first.

    Examples
    --------
    >>> import numpy as np
    >>> class_token_weight(np.array([[0.5, 0.25, 0.25], [0.125, 0.875, 0.0], [1.0, 0.0, 0.0]]))
    array([0.5  , 0.125, 1.   ])
    """
    return weights[..., 0]


def self_weight(weights: Array) -> Array:
    """(..., N, N) weights -> (..., N): the weight each token keeps on itself.

    Examples
    --------
    >>> import numpy as np
    >>> self_weight(np.array([[0.5, 0.25, 0.25], [0.125, 0.875, 0.0], [1.0, 0.0, 0.0]]))
    array([0.5  , 0.875, 0.   ])
    """
    return np.asarray(np.diagonal(weights, axis1=-2, axis2=-1))


def normalize_rows(values: Array) -> Array:
    """(..., N) values that are not negative -> the same made to sum to one; where all are zero, evenly.

    Raises
    ------
    DataError
        If they are no floats.

    Examples
    --------
    >>> import numpy as np
    >>> normalize_rows(np.array([[1.0, 3.0], [0.0, 0.0]]))
    array([[0.25, 0.75],
           [0.5 , 0.5 ]])
    """
    (values,) = as_float_arrays(values=values)
    total = values.sum(axis=-1, keepdims=True, dtype=np.result_type(values, np.float32))  # a float16 ends at 65504
    even = np.full_like(values, 1 / values.shape[-1])
    return np.asarray(np.divide(values, total, out=even, where=total > 0))
