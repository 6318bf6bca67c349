"""What may lie beside attention weights in a file: the image, and the tokens' position embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError
from headwise.shapes import Array

__all__ = ["finite_positions", "grey"]


def grey(image: npt.NDArray[Any]) -> Array:
    """(Y, X) from 0 to 1, also from whole numbers of 8 or 16 bits and from colours in the last axis.

    Raises
    ------
    DataError
        If it is no image, or has pixels beyond that.
    """
    if image.dtype.kind not in "bfiu" or not image.size:
        raise DataError(f"image: expected (Y, X) pixels from 0 to 1; got {image.shape} of {image.dtype}.")
    most = 1 if image.dtype.kind in "bf" else 65535 if image.dtype == np.uint16 else 255
    pixels = image.astype(np.float32) / np.float32(most)
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        pixels = pixels[..., :3].mean(axis=-1)
    if pixels.ndim != 2 or not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        found = f"{image.shape} from {pixels.min():.3g} to {pixels.max():.3g}"
        raise DataError(f"image: expected (Y, X) pixels from 0 to 1; got {found}.")
    return np.asarray(pixels)


def finite_positions(positions: npt.NDArray[Any]) -> Array:
    """(N, D) in float32, refused if one is no number: what has no direction has no cosine.

    Raises
    ------
    DataError
        If they are no floats, or one is NaN, infinite, or too large for float32.
    """
    if positions.dtype.kind != "f":
        raise DataError(f"positions: expected floating-point numbers; got {positions.dtype}.")
    with np.errstate(over="ignore"):
        found = positions.astype(np.float32)
    if odd := int((~np.isfinite(found)).sum()):
        raise DataError(f"positions: expected numbers; {odd} of them are NaN, infinite or too large.")
    return found
