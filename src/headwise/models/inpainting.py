"""Smooth inpainting: unknown pixels computed from the known ones."""

from __future__ import annotations

import numpy as np

from headwise.errors import require_extra
from headwise.parallel.threads import parallel_for
from headwise.shapes import Array, BoolArray, bind

# of the eight neighbours of a pixel, the four after it in reading order: (down, right) and weight
_NEIGHBOURS = {(0, 1): 1 / 6, (1, -1): 1 / 12, (1, 0): 1 / 6, (1, 1): 1 / 12}
_SETS_AT_ONCE = 16  # sets whose equations are in memory at once


def inpaint(image: Array, known: BoolArray, default: float) -> Array:
    r"""Make every unknown pixel the weighted mean of its neighbours, for several sets of known pixels.

    .. math:: x_i = \frac{\sum_j w_{ij} x_j}{\sum_j w_{ij}} \quad \text{for every unknown } i

    with w = 1/6 for the four direct neighbours and 1/12 for the four diagonal ones, as far as they are in the image.
    Unknown neighbours depend on each other, so this is a linear system for each set. Multiplied by the sums of w it is
    symmetric, positive definite, and a band as wide as a row of pixels: it is solved exactly, by Cholesky's method.

    Source: Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (ROAD), arXiv
    2202.00449 (2022): its noisy linear imputation, without the noise, so that the value of a set is deterministic, as
    Shapley values require.

    `image` (Y, X): unknown pixels are not read.
    `known` (S, Y, X): for each of S sets, which pixels are known.
    `default`: value of every pixel if none is known.
    Returns (S, Y, X): in the image's type; within the range of the known pixels.
    Raises ShapeError if the sets have another size than the image; MissingExtraError if SciPy is not installed.

    Examples
    --------
    A row of three pixels, first with known ends, then with only the first known:

    >>> inpaint(np.array([[0.0, 9.0, 1.0]]), np.array([[[True, False, True]], [[True, False, False]]]), 0.5)
    array([[[0. , 0.5, 1. ]],
    <BLANKLINE>
           [[0. , 0. , 0. ]]])
    """
    with require_extra("inpainting", "scipy", "lab"):
        from scipy.linalg import solveh_banded
    bind("Y X", image=image).bind("S Y X", known=known)
    filled = np.empty(known.shape)

    def fill(part: int) -> None:
        part_slice = slice(part * _SETS_AT_ONCE, (part + 1) * _SETS_AT_ONCE)
        for i, (band, right) in enumerate(zip(*_equations(image, known[part_slice]), strict=True), part_slice.start):
            if known[i].any():
                solved = solveh_banded(band.T, right, lower=True, overwrite_ab=True, check_finite=False)
                filled[i] = solved.reshape(image.shape)
            else:
                filled[i] = default

    parallel_for(fill, -(-len(known) // _SETS_AT_ONCE))
    return filled.astype(image.dtype)


def _equations(image: Array, known: BoolArray) -> tuple[Array, Array]:
    """One equation a pixel, times its sum of w: the lower band (S, Y X, 2 + X), and the right-hand side (S, Y X).

    Entry k of a pixel's band is what it and the k-th pixel after it have in common. A known pixel stands for itself.
    """
    sets, height, width = known.shape
    total, neighbor_sum = np.zeros((height, width)), np.zeros(known.shape)
    band = np.zeros((*known.shape, width + 2))
    values = np.where(known, image, 0.0)
    for (down, right), weight in _NEIGHBOURS.items():
        first = np.s_[..., : height - down, max(0, -right) : width - max(0, right)]
        second = np.s_[..., down:, max(0, right) : width + min(0, right)]
        for pixel, neighbor in ((first, second), (second, first)):
            total[pixel] += weight
            neighbor_sum[pixel] += weight * values[neighbor]
        # where rows are short, two neighbours may lie equally far behind, but never behind one pixel
        band[..., down * width + right][first] -= weight * ~(known[first] | known[second])
    band[..., 0] += np.where(known, 1, total)
    right_hand = np.where(known, image, neighbor_sum)
    return band.reshape(sets, height * width, -1), right_hand.reshape(sets, -1)
