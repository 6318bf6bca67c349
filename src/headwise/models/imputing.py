"""Filling in the pixels that are not known from those that are, smoothly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headwise.attention.threads import each
from headwise.errors import MissingExtraError
from headwise.shapes import Array, BoolArray, IntArray, bind

__all__ = ["imputed"]

# of a pixel's eight neighbours, the four that come after it in reading order; (down, right) and how much each counts
_NEIGHBOURS = {(0, 1): 1 / 6, (1, -1): 1 / 12, (1, 0): 1 / 6, (1, 1): 1 / 12}


def imputed(image: Array, known: BoolArray, otherwise: float) -> Array:
    r"""Make every unknown pixel the weighted mean of its neighbours, for several sets of known pixels.

    .. math:: x_i = \frac{\sum_j w_{ij} x_j}{\sum_j w_{ij}} \quad \text{for every unknown } i

    with w = 1/6 for the four direct neighbours and 1/12 for the four diagonal ones, as far as they are in the image.
    Unknown neighbours depend on each other, so this is a linear system for each set. Multiplied by the sums of w it is
    symmetric, positive definite, and a band as wide as a row of pixels: it is solved exactly, by Cholesky's method.

    Source: Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (ROAD), arXiv
    2202.00449 (2022): its noisy linear imputation, without the noise. That is small, and with it the same set would not
    always be worth the same, so that there were no game for Shapley values to be values of.

    Parameters
    ----------
    image : ndarray of shape (Y, X)
        What is not known of it is not looked at.
    known : ndarray of bool of shape (S, Y, X)
        For each of S sets, which pixels are known.
    otherwise : float
        Every pixel, where none is known.

    Returns
    -------
    ndarray of shape (S, Y, X)
        In the image's type; within the range of the known pixels.

    Raises
    ------
    ShapeError
        If the sets are of another size than the image.
    MissingExtraError
        If SciPy is not installed.

    Examples
    --------
    A row of three pixels of which the ends are known, and one of which only the first is:

    >>> import numpy as np
    >>> imputed(np.array([[0.0, 9.0, 1.0]]), np.array([[[True, False, True]], [[True, False, False]]]), 0.5)
    array([[[0. , 0.5, 1. ]],
    <BLANKLINE>
           [[0. , 0. , 0. ]]])
    """
    try:
        from scipy.linalg import solveh_banded
    except ImportError:
        raise MissingExtraError("imputed pixels", "scipy", "lab") from None
    bind("Y X", image=image).bind("S Y X", known=known)
    height, width = image.shape
    values, sets = image.ravel().astype(np.float64), known.reshape(len(known), -1)
    filled = np.empty(sets.shape)
    links = list(_links(height, width))

    def fill(i: int) -> None:
        there = sets[i]
        if there.all() or not there.any():
            filled[i] = values if there.any() else otherwise
            return
        # row k of the band holds the entries k below the diagonal; a known pixel is an equation of its own
        band = np.zeros((width + 2, there.size))
        right = np.where(there, values, 0.0)
        band[0] = there
        for first, second, weight in links:
            for one, other in ((first, second), (second, first)):
                asking = ~there[one]
                band[0, one] += weight * asking
                right[one] += weight * asking * there[other] * values[other]
            # where a row is short, two neighbours may lie equally far below the diagonal, but never in one column
            band[second - first, first] -= weight * ~(there[first] | there[second])
        filled[i] = solveh_banded(band, right, lower=True, overwrite_ab=True, overwrite_b=True, check_finite=False)

    each(fill, len(sets))
    return filled.reshape(known.shape).astype(image.dtype)


def _links(height: int, width: int) -> Iterator[tuple[IntArray, IntArray, float]]:
    """Every two neighbours once: those that come first in reading order, the others, and the weight between them."""
    places = np.arange(height * width).reshape(height, width)
    for (down, right), weight in _NEIGHBOURS.items():
        first = places[: height - down, max(0, -right) : width - max(0, right)]
        second = places[down:, max(0, right) : width + min(0, right)]
        yield first.ravel(), second.ravel(), weight
