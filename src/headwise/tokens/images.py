"""Cutting images into tokens, and where in the image each token lies.

A tokeniser knows its tokens' boxes in pixels, so that pictures and distances work for tokens of any shape. A new one is
an entry of `NAMED`, or any name of the form ``"7x7"``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, IntArray, bind

__all__ = ["NAMED", "Patches", "tokeniser"]


@dataclass(frozen=True)
class Patches:
    """Rectangles of one size that tile the image, from left to right and then from top to bottom.

    Parameters
    ----------
    image : (int, int)
        Height and width of the image in pixels.
    size : (int, int)
        Height and width of a patch in pixels; each divides the image's.

    Raises
    ------
    ShapeError
        If the size does not divide the image; the message lists those that do.

    Examples
    --------
    >>> import numpy as np
    >>> rows = Patches(image=(4, 6), size=(1, 6))
    >>> rows.count, rows.inputs
    (4, 6)
    >>> rows.cut(np.zeros((2, 4, 6))).shape
    (2, 4, 6)
    """

    image: tuple[int, int]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        for axis, whole, part in zip(("height", "width"), self.image, self.size, strict=True):
            if part < 1 or whole % part:
                divisors = ", ".join(str(n) for n in range(1, whole + 1) if whole % n == 0)
                raise ShapeError(
                    f"tokens: expected a patch {axis} that divides the image's {whole} pixels ({divisors}); got {part}."
                )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image[0] // self.size[0], self.image[1] // self.size[1]

    @property
    def count(self) -> int:
        """N, the number of tokens."""
        return self.grid[0] * self.grid[1]

    @property
    def inputs(self) -> int:
        """P, the numbers in one token."""
        return self.size[0] * self.size[1]

    @property
    def boxes(self) -> IntArray:
        """(N, 4): top, left, height and width of each token in pixels."""
        top, left = np.indices(self.grid).reshape(2, -1) * np.array(self.size)[:, None]
        return np.stack([top, left, np.full_like(top, self.size[0]), np.full_like(left, self.size[1])], axis=1)

    def cut(self, images: Array) -> Array:
        """(B, Y, X) images -> (B, N, P) tokens, the pixels of each in reading order."""
        bind(f"B {self.image[0]} {self.image[1]}", images=images)
        (rows, columns), (height, width) = self.grid, self.size
        tiles = images.reshape(-1, rows, height, columns, width).swapaxes(2, 3)
        return tiles.reshape(-1, self.count, self.inputs)


NAMED: dict[str, Callable[[tuple[int, int]], Patches]] = {
    "rows": lambda image: Patches(image, (1, image[1])),
    "columns": lambda image: Patches(image, (image[0], 1)),
    "pixels": lambda image: Patches(image, (1, 1)),
}


def tokeniser(name: str, image: tuple[int, int]) -> Patches:
    """The tokeniser that a name stands for.

    Parameters
    ----------
    name : str
        ``"7x7"`` for patches 7 pixels high and 7 wide, or a name in `NAMED`.
    image : (int, int)
        Height and width of the image in pixels.

    Raises
    ------
    DataError
        If no tokeniser has this name.
    ShapeError
        If the image cannot be cut so.

    Examples
    --------
    >>> tokeniser("7x7", (28, 28)).count
    16
    """
    if name in NAMED:
        return NAMED[name](image)
    if match := re.fullmatch(r"(\d+)x(\d+)", name):
        return Patches(image, (int(match[1]), int(match[2])))
    raise DataError(f"tokens: expected a patch size such as 7x7, or one of {', '.join(NAMED)}; got {name!r}.")
