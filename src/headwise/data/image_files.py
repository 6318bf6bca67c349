"""Image files: digits prepared like those of MNIST, and any image in grayscale.

MNIST's digits were scaled to fit 20 × 20 pixels, kept their proportions, and were placed by their centre of mass in a
field of 28 × 28 (LeCun et al., 1998, section III.A).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from headwise.errors import DataError
from headwise.models.preprocess.images import open_image
from headwise.shapes import Array

_SIDE, _BOX = 28, 20


class PreparedDigit(NamedTuple):
    """A digit (28, 28) in float32, ink 1 on background 0, and how it was obtained from the file."""

    image: Array
    preparation: str


def load_digit(path: Path) -> PreparedDigit:
    """Read an image file as a digit.

    A file of exactly 28 × 28 pixels with a dark border is taken as it is. Anything else is made grey, turned to light
    ink on a dark background, cropped to its ink, scaled to fit 20 × 20 and centred by mass.

    Parameters
    ----------
    path : Path
        PNG, JPEG, or whatever else Pillow reads.

    Raises
    ------
    DataError
        If the file is missing, is not an image, is too large, or contains no ink.
    """
    grey = read_image(path)
    height, width = grey.shape
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    inverted = bool(np.median(border) > 0.5)
    if inverted:
        grey = 1 - grey
    if grey.shape == (_SIDE, _SIDE) and not inverted:
        if grey.max() <= grey.min():
            raise DataError(f"{path}: expected a digit; every pixel is the same.")
        return PreparedDigit(grey, "taken as it is")
    digit = _centred(_fitted(_cropped(grey, path)))
    steps = f"{height} × {width} pixels, {'dark ink turned light, ' if inverted else ''}"
    return PreparedDigit(digit, steps + "cropped to the ink, scaled to 20 × 20 and centred by mass in 28 × 28")


def read_image(path: Path) -> Array:
    """An image file in grayscale, (Y, X) from 0 to 1, upright and with transparency on white.

    Raises
    ------
    DataError
        If the file is missing, is not an image, is too large, or has no defined black and white.
    """
    return np.asarray(open_image(path).convert("L"), np.float32) / np.float32(255)


def _cropped(grey: Array, path: Path) -> Array:
    """The smallest rectangle around the ink, which is what stands out by half from the background to the brightest."""
    low, high = float(np.median(grey)), float(grey.max())
    if high - low < 0.1:
        raise DataError(f"{path}: expected a digit; nothing stands out from the background.")
    cleaned: Array = np.clip((grey - low) / (high - low), 0, 1)
    rows, columns = np.nonzero(cleaned > 0.5)
    return cleaned[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _fitted(digit: Array) -> Array:
    """Scaled so that the longer side is 20 pixels."""
    from PIL import Image

    scale = _BOX / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    scaled = Image.fromarray(digit.astype(np.float32)).resize(
        (width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    )
    return np.asarray(scaled, np.float32)


def _centred(digit: Array) -> Array:
    """In the middle of 28 × 28 by centre of mass, as far as the digit then stays inside."""
    height, width = digit.shape
    total = digit.sum()
    field = np.zeros((_SIDE, _SIDE), np.float32)
    corner = []
    for axis, side in ((0, height), (1, width)):
        middle = float((digit.sum(axis=1 - axis) * (np.arange(side) + 0.5)).sum() / total)
        corner.append(int(np.clip(round(_SIDE / 2 - middle), 0, _SIDE - side)))
    top, left = corner
    field[top : top + height, left : left + width] = digit
    return field
