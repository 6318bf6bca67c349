"""Tokenizers of images, with the box of each token in pixels.

Tokenizers have names: ``"7x7"``, ``"8x8/4"`` (overlapping: a patch every 4 pixels), an entry of `TOKENIZERS`, and any
of these after an entry of `PERMUTATIONS`, as in ``"scrambled-7x7"``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, IntArray, bind
from headwise.validation import check_choice


class ImageTokenizer(Protocol):
    """Splits an image into a grid of N tokens of equal size, of P pixels each."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a token in pixels."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""

    @property
    def num_tokens(self) -> int:
        """N, the number of tokens."""

    @property
    def token_dim(self) -> int:
        """P, the numbers in one token."""

    @property
    def boxes(self) -> IntArray:
        """(N, 4): top, left, height and width of each token in the permuted image."""

    def permute(self, images: Array) -> Array:
        """Permute the pixels of images (..., Y, X); boxes refer to the result."""

    def tokenize(self, images: Array) -> Array:
        """(B, Y, X) images -> (B, N, P) tokens, the pixels of each in reading order."""


@dataclass(frozen=True)
class Patches:
    """Rectangles of one size that cover the image, from left to right and then from top to bottom.

    Parameters
    ----------
    image_size : (int, int)
        Height and width of the image in pixels.
    patch_size : (int, int)
        Height and width of a patch in pixels.
    stride : (int, int), optional
        Pixels from one patch to the next, down and across; patches overlap if it is smaller than their size. By
        default the size, so that they tile.

    Raises
    ------
    ShapeError
        If a pixel would not be covered; the message lists the sizes or strides that cover all.

    Examples
    --------
    >>> import numpy as np
    >>> rows = Patches(image_size=(4, 6), patch_size=(1, 6))
    >>> rows.num_tokens, rows.token_dim
    (4, 6)
    >>> rows.tokenize(np.zeros((2, 4, 6))).shape
    (2, 4, 6)
    >>> Patches(image_size=(4, 6), patch_size=(2, 4), stride=(1, 2)).grid
    (3, 2)
    """

    image_size: tuple[int, int]
    patch_size: tuple[int, int]
    stride: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size", "stride")[: 2 if self.stride is None else 3]:
            if np.shape(getattr(self, name)) != (2,):
                raise ShapeError(f"{name}: expected (height, width) in pixels; got {getattr(self, name)!r}.")
        for axis, total, part, step in zip(
            ("height", "width"), self.image_size, self.patch_size, self._steps, strict=True
        ):
            if self.stride is None and (part < 1 or total % part):
                fitting = _listed(n for n in range(1, total + 1) if total % n == 0)
                raise ShapeError(
                    f"tokenizer: expected a patch {axis} that divides the image's {total} pixels ({fitting}); "
                    f"got {part}."
                )
            if not 1 <= part <= total:
                raise ShapeError(
                    f"tokenizer: expected a patch {axis} from 1 to the image's {total} pixels; got {part}."
                )
            if not 1 <= step <= part or (total - part) % step:
                fitting = _listed(n for n in range(1, part + 1) if (total - part) % n == 0)
                raise ShapeError(
                    f"tokenizer: expected a stride that covers the image's {total} pixels of {axis}, for a patch "
                    f"{axis} of {part} one of {fitting}; got {step}."
                )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        down, across = (
            (total - part) // step + 1
            for total, part, step in zip(self.image_size, self.patch_size, self._steps, strict=True)
        )
        return down, across

    @property
    def num_tokens(self) -> int:
        """N, the number of tokens."""
        return self.grid[0] * self.grid[1]

    @property
    def token_dim(self) -> int:
        """P, the numbers in one token."""
        return self.patch_size[0] * self.patch_size[1]

    @property
    def boxes(self) -> IntArray:
        """(N, 4): top, left, height and width of each token in pixels."""
        top, left = np.indices(self.grid).reshape(2, -1) * np.array(self._steps)[:, None]
        return np.stack([top, left, *(np.full_like(top, size) for size in self.patch_size)], axis=1)

    def permute(self, images: Array) -> Array:
        """Images (..., Y, X), unchanged."""
        return images

    def tokenize(self, images: Array) -> Array:
        """(B, Y, X) images -> (B, N, P) tokens, the pixels of each in reading order."""
        bind(f"B {self.image_size[0]} {self.image_size[1]}", images=images)
        down, across = self._steps
        windows = sliding_window_view(images, (1, *self.patch_size))[:, ::down, ::across]
        tokens: Array = windows.reshape(len(images), self.num_tokens, self.token_dim)
        return tokens

    @property
    def _steps(self) -> tuple[int, int]:
        return self.stride or self.patch_size


@dataclass(frozen=True)
class PermutedPixels:
    """Patches of images whose pixels are permuted, in the same way for every image.

    Parameters
    ----------
    patches : Patches
        Tokenizer of the permuted image.
    permutation : str
        An entry of `PERMUTATIONS`: ``"scrambled"`` moves every pixel, ``"reordered"`` whole rows of pixels.
    seed : int
        Seed of the permutation.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(6.0).reshape(3, 2)
    >>> PermutedPixels(Patches((3, 2), (1, 2)), "reordered").permute(image)
    array([[4., 5.],
           [0., 1.],
           [2., 3.]])
    """

    patches: Patches
    permutation: str
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("permutation", self.permutation, PERMUTATIONS)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.patches.image_size

    @property
    def patch_size(self) -> tuple[int, int]:
        """Height and width of a token in pixels."""
        return self.patches.patch_size

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.patches.grid

    @property
    def num_tokens(self) -> int:
        """N, the number of tokens."""
        return self.patches.num_tokens

    @property
    def token_dim(self) -> int:
        """P, the numbers in one token."""
        return self.patches.token_dim

    @property
    def boxes(self) -> IntArray:
        """(N, 4): top, left, height and width of each token in the permuted image."""
        return self.patches.boxes

    def permute(self, images: Array) -> Array:
        """Images (..., Y, X) with permuted pixels."""
        flat = images.reshape(*images.shape[:-2], -1)
        return flat[..., _order(self.permutation, self.image_size, self.seed)].reshape(images.shape)

    def tokenize(self, images: Array) -> Array:
        """(B, Y, X) images -> (B, N, P) tokens, the pixels of each in reading order."""
        bind(f"B {self.image_size[0]} {self.image_size[1]}", images=images)
        return self.patches.tokenize(self.permute(images))


TOKENIZERS: dict[str, Callable[[tuple[int, int]], Patches]] = {
    "rows": lambda image: Patches(image, (1, image[1])),
    "columns": lambda image: Patches(image, (image[0], 1)),
    "pixels": lambda image: Patches(image, (1, 1)),
}

# (Y, X) positions in reading order, and a generator -> the old position of every new one
PERMUTATIONS: dict[str, Callable[[IntArray, np.random.Generator], IntArray]] = {
    "scrambled": lambda positions, rng: rng.permutation(positions.ravel()),
    "reordered": lambda positions, rng: rng.permutation(positions).ravel(),
}


def get_tokenizer(name: str, image_size: tuple[int, int]) -> ImageTokenizer:
    """The tokenizer with a name.

    Parameters
    ----------
    name : str
        ``"7x7"`` for patches 7 pixels high and 7 wide, ``"8x8/4"`` for one every 4 pixels (``"8x6/4x2"`` for every 4
        down and 2 across), or a name in `TOKENIZERS`. A prefix from `PERMUTATIONS` and a hyphen permutes the
        pixels first.
        ``"pixels"`` is for small images: N tokens cost N² attention weights in every head, for a digit 784².
    image_size : (int, int)
        Height and width of the image in pixels.

    Raises
    ------
    DataError
        If there is no such tokenizer.
    ShapeError
        If the patches do not fit the image.

    Examples
    --------
    >>> get_tokenizer("7x7", (28, 28)).num_tokens
    16
    >>> get_tokenizer("scrambled-8x8/4", (28, 28)).grid
    (6, 6)
    """
    order, _, rest = name.rpartition("-")
    if not order:
        return _patches(name, image_size)
    if order in PERMUTATIONS:
        return PermutedPixels(_patches(rest, image_size), order)
    raise _unknown(name)


def _patches(name: str, image: tuple[int, int]) -> Patches:
    if name in TOKENIZERS:
        return TOKENIZERS[name](image)
    if match := re.fullmatch("{0}x{0}(?:/{0}(?:x{0})?)?".format("([0-9]{1,9})"), name):
        height, width, down, across = match.groups()
        stride = (int(down), int(across or down)) if down else None
        return Patches(image, (int(height), int(width)), stride)
    raise _unknown(name)


def _unknown(name: str) -> DataError:
    permuted = " or ".join(f"{permutation}-7x7" for permutation in PERMUTATIONS)
    return DataError(
        f"tokenizer: expected a patch size such as 7x7, or one of {', '.join(TOKENIZERS)}; or overlapping patches such "
        f"as 8x8/4; or any of these with permuted pixels, such as {permuted}; got {name!r}."
    )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


@lru_cache(maxsize=16)
def _order(order: str, image: tuple[int, int], seed: int) -> IntArray:
    """(Y X,): the old index of the pixel at each new one."""
    places = np.arange(image[0] * image[1]).reshape(image)
    return PERMUTATIONS[order](places, np.random.default_rng([seed, *image]))
