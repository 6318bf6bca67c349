"""Filling in the pixels that are not known from those that are, smoothly."""

from __future__ import annotations

import numpy as np

from headwise.errors import MissingExtraError
from headwise.parallel.threads import parallel_for
from headwise.shapes import Array, BoolArray, bind

__all__ = ["inpaint"]

# of a pixel's eight neighbours, the four that come after it in reading order; (down, right) and how much each counts
_NEIGHBOURS = {(0, 1): 1 / 6, (1, -1): 1 / 12, (1, 0): 1 / 6, (1, 1): 1 / 12}
_TOGETHER = 16  # sets whose equations are in memory at once


def inpaint(image: Array, known: BoolArray, otherwise: float) -> Array:
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
    >>> inpaint(np.array([[0.0, 9.0, 1.0]]), np.array([[[True, False, True]], [[True, False, False]]]), 0.5)
    array([[[0. , 0.5, 1. ]],
    <BLANKLINE>
           [[0. , 0. , 0. ]]])
    """
    try:
        from scipy.linalg import solveh_banded
    except ImportError:
        raise MissingExtraError("imputed pixels", "scipy", "lab") from None
    bind("Y X", image=image).bind("S Y X", known=known)
    filled = np.empty(known.shape)

    def fill(part: int) -> None:
        chosen = slice(part * _TOGETHER, (part + 1) * _TOGETHER)
        for i, (band, right) in enumerate(zip(*_equations(image, known[chosen]), strict=True), chosen.start):
            if known[i].any():
                solved = solveh_banded(band.T, right, lower=True, overwrite_ab=True, check_finite=False)
                filled[i] = solved.reshape(image.shape)
            else:
                filled[i] = otherwise

    parallel_for(fill, -(-len(known) // _TOGETHER))
    return filled.astype(image.dtype)


def _equations(image: Array, known: BoolArray) -> tuple[Array, Array]:
    """One equation a pixel, times its sum of w: the lower band (S, Y X, 2 + X), and the right-hand side (S, Y X).

    Entry k of a pixel's band is what it and the k-th pixel after it have in common. A known pixel stands for itself.
    """
    sets, height, width = known.shape
    total, around = np.zeros((height, width)), np.zeros(known.shape)
    band = np.zeros((*known.shape, width + 2))
    seen = np.where(known, image, 0.0)
    for (down, right), weight in _NEIGHBOURS.items():
        first = np.s_[..., : height - down, max(0, -right) : width - max(0, right)]
        second = np.s_[..., down:, max(0, right) : width + min(0, right)]
        for one, other in ((first, second), (second, first)):
            total[one] += weight
            around[one] += weight * seen[other]
        # where rows are short, two neighbours may lie equally far behind, but never behind one pixel
        band[..., down * width + right][first] -= weight * ~(known[first] | known[second])
    band[..., 0] += np.where(known, 1, total)
    right_hand = np.where(known, image, around)
    return band.reshape(sets, height * width, -1), right_hand.reshape(sets, -1)
