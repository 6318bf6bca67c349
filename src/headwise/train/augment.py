"""Small random shifts and rotations of images."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from headwise.shapes import Array


def shift_and_rotate(images: Array, *, shift: float, rotate: float, rng: np.random.Generator) -> Array:
    """Rotate each image about its centre and shift it, by random amounts, with bilinear interpolation.

    Parameters
    ----------
    images : ndarray of shape (B, Y, X)
        With background 0, which also fills what moves in from outside.
    shift : float
        Largest shift along each axis, in pixels.
    rotate : float
        Largest rotation, in degrees.
    rng : Generator

    Returns
    -------
    ndarray of shape (B, Y, X)
    """
    centre = (np.array(images.shape[1:]) - 1) / 2
    shifts = rng.uniform(-shift, shift, (len(images), 2))
    angles = np.deg2rad(rng.uniform(-rotate, rotate, len(images)))
    result = np.empty_like(images)
    for image, by, angle, out in zip(images, shifts, angles, result, strict=True):
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        ndimage.affine_transform(image, turn, centre - turn @ (centre + by), order=1, output=out)
    return result
