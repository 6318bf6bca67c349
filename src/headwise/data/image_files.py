"""Image files: digits prepared like those of MNIST, and any image in grayscale.

MNIST's digits were scaled to fit 20 × 20 pixels, kept their proportions, and were placed by their centre of mass in a
field of 28 × 28 (LeCun et al., 1998, section III.A).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headwise.errors import DataError, require_extra
from headwise.shapes import Array

if TYPE_CHECKING:
    from PIL import Image

_SIDE, _BOX = 28, 20
_LARGEST = 50_000_000  # pixels; more is refused before it is decoded


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
    """An image file in grayscale, (Y, X) from 0 to 1, with transparency on white.

    Raises
    ------
    DataError
        If the file is missing, is not an image, is too large, or has no defined black and white.
    """
    with require_extra("reading images", "pillow", "lab"):
        from PIL import Image
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(path) as opened,
        ):
            if opened.width * opened.height > _LARGEST:
                raise DataError(f"{path}: {opened.width} × {opened.height} pixels are more than {_LARGEST:,}.")
            return _grey(opened, path)
    except DataError:
        raise
    except Exception as error:  # decoders raise all kinds of errors for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: not an image that can be read ({reason}).") from None


def _grey(opened: Image.Image, path: Path) -> Array:
    """Convert to grayscale; Pillow would clip values of more than 8 bits at 255."""
    if opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format in ("PNG", "PPM")):
        return np.asarray(_upright(opened), np.float32) / np.float32(65535)
    if opened.mode in ("I", "F"):
        raise DataError(
            f"{path}: expected pixels of 8 or 16 bits; got numbers of mode {opened.mode!r}, which do not say what is "
            "black and what white. Scale them, and save them as PNG."
        )
    return np.asarray(on_white(_upright(opened)).convert("L"), np.float32) / np.float32(255)


def on_white(image: Image.Image) -> Image.Image:
    """An image in colours, with its transparent parts on white."""
    from PIL import Image

    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _upright(opened: Image.Image) -> Image.Image:
    """The image rotated according to its EXIF orientation."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(opened)
    except Exception:  # unreadable EXIF data is ignored; unreadable pixels raise an error when they are decoded
        return opened


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
