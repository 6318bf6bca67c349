"""Integrated gradients: the gradient averaged along a straight line, times the difference of its ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headwise.shapes import Array
from headwise.validation import check_counts


def integrated_gradients(gradient: Callable[[Array], Array], x: Array, baseline: Array, steps: int = 20) -> Array:
    r"""Attribution of a function's value to the elements of its argument.

    .. math:: (x_i - b_i) \int_0^1 \frac{\partial f}{\partial x_i}\bigl(b + \alpha (x - b)\bigr) \, d\alpha

    The integral is computed by Gauss–Legendre quadrature. The attributions sum to f(x) − f(b) (completeness) up to the
    error of the quadrature, which shows whether the steps suffice.

    Source: Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", arXiv 1703.01365 (2017), equation 1.

    Parameters
    ----------
    gradient : callable
        Gradients (S, ...) of f at points (S, ...).
    x, baseline : ndarray of shape (...)
    steps : int
        Points at which the gradient is evaluated.

    Returns
    -------
    ndarray of shape (...)

    Raises
    ------
    DataError
        If there are no steps.

    Examples
    --------
    f = x y, between (0, 0) and (2, 3):

    >>> import numpy as np
    >>> integrated_gradients(lambda points: points[:, ::-1], np.array([2.0, 3.0]), np.zeros(2), steps=1)
    array([3., 3.])
    """
    check_counts(steps=steps)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    alphas = ((1 + nodes) / 2).astype(x.dtype).reshape(-1, *[1] * x.ndim)
    gradients = gradient(baseline + alphas * (x - baseline))
    mean = np.tensordot((weights / 2).astype(x.dtype), gradients, axes=1)
    return np.asarray((x - baseline) * mean)
