"""Checks of arrays from other programs: images and position embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, require_extra
from headwise.shapes import Array


def to_pixels_of(image: npt.NDArray[Any]) -> Array:
    """(Y, X) or (Y, X, 3) from 0 to 1, also from 8-bit or 16-bit integers, and with the colours in the first axis."""
    if image.dtype.kind not in "bfiu" or not image.size:
        raise DataError(f"image: expected (Y, X) pixels from 0 to 1; got {image.shape} of {image.dtype}.")
    white = 1 if image.dtype.kind in "bf" else 65535 if image.dtype == np.uint16 else 255
    pixels = image.astype(np.float32) / np.float32(white)
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3, 4) and pixels.shape[-1] not in (3, 4):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 3:
        is_grey = (pixels[..., :3] == pixels[..., :1]).all()
        pixels = pixels[..., 0] if is_grey else pixels[..., :3]
    if pixels.ndim not in (2, 3) or not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        received = f"{image.shape} from {pixels.min():.3g} to {pixels.max():.3g}"
        raise DataError(f"image: expected (Y, X) pixels from 0 to 1; got {received}.")
    return np.asarray(pixels)


def check_positions(positions: npt.NDArray[Any]) -> Array:
    """(N, D) in float32, all finite, so that every cosine is defined."""
    if positions.dtype.kind != "f":
        raise DataError(f"positions: expected floating-point numbers; got {positions.dtype}.")
    with np.errstate(over="ignore"):
        converted = positions.astype(np.float32)
    if bad := int((~np.isfinite(converted)).sum()):
        raise DataError(f"positions: expected numbers; {bad} of them are NaN, infinite or too large.")
    return converted


def resize_image(image: Array, size: tuple[int, int]) -> Array:
    """The image at another height and width, by bicubic interpolation."""
    if image.shape[:2] == size:
        return image
    with require_extra("resizing images", "pillow", "lab"):
        from PIL import Image
    pixels = Image.fromarray((image * 255).round().astype(np.uint8)).resize((size[1], size[0]), 3)
    return np.asarray(pixels, np.float32) / 255
