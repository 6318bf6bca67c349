"""Images for models of other frameworks: prepared by the user's transform, or as the model itself says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headwise.errors import DataError, HeadwiseError
from headwise.models.preprocess.images import ImagePreprocessor, from_options
from headwise.shapes import Array

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class ImageReader:
    """Images as pixel values (1, C, Y, X)."""

    # an image processor of transformers, a transform of torchvision or timm, a function of a PIL image, or an
    # `ImagePreprocessor`
    preprocess: Callable[..., Any] | None = None

    def read(self, image: Any) -> tuple[Array, Box]:
        """The pixel values, and the part of the image that they show: left, top, right, bottom in its pixels.

        Raises DataError if there is no way to prepare it, or it is no image.
        """
        if self.preprocess is None:
            raise DataError(
                "preprocess: expected a way to prepare images, which this model does not state: pass preprocess= (an "
                "image processor of transformers or a transform of torchvision) or --preprocess, or the normalised "
                "array (C, Y, X)."
            )
        if isinstance(self.preprocess, ImagePreprocessor):
            opened = self.preprocess.open(image)
            return self.preprocess([opened])["pixel_values"], self.preprocess.crop_box(*opened.size)
        opened = ImagePreprocessor().open(image)
        values = self._call(opened)
        if values.ndim not in (3, 4) or values.dtype.kind != "f":
            raise DataError(f"preprocess: expected pixels (C, Y, X) as floats; got {values.dtype} of {values.shape}.")
        return values.reshape(-1, *values.shape[-3:]), geometry(self.preprocess).crop_box(*opened.size)

    def _call(self, image: Any) -> Array:
        assert self.preprocess is not None
        if hasattr(self.preprocess, "image_mean"):
            return np.asarray(self.preprocess(images=image, return_tensors="np")["pixel_values"])
        values = self.preprocess(image)
        values = values["pixel_values"] if isinstance(values, dict) else values
        return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)


def geometry(preprocess: Any) -> ImagePreprocessor:
    """Where a user's transform resizes and crops; the whole image if it does not say."""
    if hasattr(preprocess, "image_mean") and hasattr(preprocess, "to_dict"):
        try:
            return from_options(Path("preprocess"), preprocess.to_dict(), 3)
        except HeadwiseError:
            return ImagePreprocessor()
    shortest, size, crop = getattr(preprocess, "resize_size", None), None, getattr(preprocess, "crop_size", None)
    for step in getattr(preprocess, "transforms", ()):
        stated = getattr(step, "size", None)
        if type(step).__name__ == "Resize" and stated is not None:
            shortest, size = (stated, None) if np.size(stated) == 1 else (None, stated)
        elif type(step).__name__ == "CenterCrop" and stated is not None:
            crop = stated
    first = None if shortest is None else int(np.ravel(shortest)[0])
    return ImagePreprocessor(shortest=first, size=_pair(size), crop=_pair(crop))


def _pair(size: Any) -> tuple[int, int] | None:
    """Height and width from one number or two."""
    if size is None:
        return None
    numbers = [int(n) for n in np.ravel(size)]
    return numbers[0], numbers[-1]
