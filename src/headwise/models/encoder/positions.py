"""Resampling learned position embeddings to another grid of patches, as a product with a matrix for each axis.

Three ways are in use, and give different positions at the same size:

- ``bicubic``: torch's bicubic interpolation (a = −0.75) between grid points.
- ``bicubic_antialias``: the same call with ``antialias=True`` (a = −0.5, and wider when shrinking).
- ``bicubic_offset``: ``bicubic`` with a scale factor of (new size + 0.1) / size, as in DINO's and DINOv2's first code.

Source of the kernel: Keys, "Cubic Convolution Interpolation for Digital Image Processing" (1981).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from headwise.shapes import Array
from headwise.validation import check_choice

INTERPOLATIONS = ("bicubic", "bicubic_antialias", "bicubic_offset")


def resample_forward(grid: Array, size: tuple[int, int], interpolation: str) -> Array:
    """Resample a grid (Y, X, D) to (Y′, X′, D)."""
    down, across = (
        resampling_matrix(old, new, interpolation).astype(grid.dtype)
        for old, new in zip(grid.shape[:2], size, strict=True)
    )
    return np.asarray(np.einsum("ay,yxd,bx->abd", down, grid, across, optimize=True))


def resample_backward(dy: Array, size: tuple[int, int], interpolation: str) -> Array:
    """Gradient with respect to the grid of `size`."""
    down, across = (
        resampling_matrix(old, new, interpolation).astype(dy.dtype) for old, new in zip(size, dy.shape[:2], strict=True)
    )
    return np.asarray(np.einsum("ay,abd,bx->yxd", down, dy, across, optimize=True))


@lru_cache(maxsize=64)
def resampling_matrix(old: int, new: int, interpolation: str) -> Array:
    """Weights (new, old) of the old points in each new point; rows sum to one.

    Raises DataError if the interpolation is not one of `INTERPOLATIONS`.

    Examples
    --------
    >>> resampling_matrix(4, 2, "bicubic").round(3)
    array([[ 0.5  ,  0.594, -0.094,  0.   ],
           [ 0.   , -0.094,  0.594,  0.5  ]])
    """
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    if interpolation == "bicubic_antialias":
        return _antialias(old, new)
    step = old / (new + 0.1 if interpolation == "bicubic_offset" else new)
    centers = (np.arange(new) + 0.5) * step - 0.5
    first = np.floor(centers).astype(int) - 1
    matrix = np.zeros((new, old))
    for tap in range(4):
        weights = _cubic(centers - (first + tap), a=-0.75)
        np.add.at(matrix, (np.arange(new), np.clip(first + tap, 0, old - 1)), weights)  # the border is repeated
    return matrix


def _antialias(old: int, new: int) -> Array:
    """The kernel widened by the factor of shrinking, cut at the border and normalised."""
    step = old / new
    width = max(step, 1.0)
    centers = (np.arange(new) + 0.5) * step
    first = np.maximum((centers - 2 * width + 0.5).astype(int), 0)
    last = np.minimum((centers + 2 * width + 0.5).astype(int), old)
    points = np.arange(old)
    inside = (points >= first[:, None]) & (points < last[:, None])
    matrix = np.where(inside, _cubic((points + 0.5 - centers[:, None]) / width, a=-0.5), 0.0)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def _cubic(distance: Array, a: float) -> Array:
    """Keys' kernel: zero from a distance of 2 on."""
    t = np.abs(distance)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((t - 5) * t + 8) * t * a - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))
