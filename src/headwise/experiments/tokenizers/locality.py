"""Which pixels a tokenizer keeps together, and which tokens are unchanged when the image is shifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headwise.experiments.tokenizers.training import shift_images
from headwise.shapes import Array
from headwise.tokenizers import ImageTokenizer


@dataclass(frozen=True)
class Locality:
    """The locality of one tokenizer."""

    single_token: float  # share of the pixels that are in exactly one token
    # share of neighbouring pixels, one above the other or side by side, that are in one token
    vertical_pairs: float
    horizontal_pairs: float
    # by shift (down, right): the share of tokens with ink that equal, bit by bit, a token of the unshifted image
    unchanged: dict[tuple[int, int], float]


def locality(tokenizer: ImageTokenizer, images: Array, shifts: Sequence[tuple[int, int]]) -> Locality:
    """Measure the locality of a tokenizer on images.

    `images` (B, Y, X): background is zero.
    `shifts`: pixels down and right.

    Examples
    --------
    >>> from headwise.tokenizers import get_tokenizer
    >>> result = locality(get_tokenizer("rows", (4, 4)), np.eye(4)[None], [(1, 0), (0, 1)])
    >>> result.single_token, result.vertical_pairs, result.horizontal_pairs, result.unchanged
    (1.0, 0.0, 1.0, {(1, 0): 1.0, (0, 1): 1.0})
    """
    numbers = np.arange(np.prod(tokenizer.image_size), dtype=np.float64).reshape(1, *tokenizer.image_size)
    tokens = tokenizer.tokenize(numbers)[0].astype(int)  # (N, P): the pixels in each token
    token_of = np.zeros((numbers.size, len(tokens)), bool)
    for i, pixels in enumerate(tokens):
        token_of[pixels, i] = True
    by_pixel = token_of.reshape(*tokenizer.image_size, -1)
    return Locality(
        single_token=float((token_of.sum(axis=1) == 1).mean()),
        vertical_pairs=float((by_pixel[1:] & by_pixel[:-1]).any(axis=-1).mean()),
        horizontal_pairs=float((by_pixel[:, 1:] & by_pixel[:, :-1]).any(axis=-1).mean()),
        unchanged={shift: _unchanged(tokenizer, images, shift) for shift in shifts},
    )


def foreground_lost(images: Array, shift: tuple[int, int]) -> float:
    """The share of all ink that leaves the images (B, Y, X) when they are shifted by (down, right) pixels.

    Examples
    --------
    >>> foreground_lost(np.eye(4)[None], (1, 0))
    0.25
    """
    return 1 - float(shift_images(images, *shift).sum(dtype=np.float64) / images.sum(dtype=np.float64))


def _unchanged(tokenizer: ImageTokenizer, images: Array, shift: tuple[int, int]) -> float:
    unchanged = inked = 0
    for before, after in zip(tokenizer.tokenize(images), tokenizer.tokenize(shift_images(images, *shift)), strict=True):
        contents = {token.tobytes() for token in before}
        matches = [token.tobytes() in contents for token in after if token.any()]
        unchanged, inked = unchanged + sum(matches), inked + len(matches)
    return unchanged / inked if inked else 0.0
