"""What a way of cutting keeps together, and what of it survives when the image is moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headwise.experiments.tokenizers.store import shifted
from headwise.shapes import Array
from headwise.tokenizers import ImageTokenizer

__all__ = ["Locality", "ink_lost", "locality"]


@dataclass(frozen=True)
class Locality:
    """One cut.

    Attributes
    ----------
    kept : float
        Share of the pixels that are in exactly one token.
    above, beside : float
        Share of pairs of pixels, one above the other or side by side, that are in one token.
    found_again : dict of (int, int) to float
        By how far images are moved down and right: the share of their tokens with ink in them that are, to the last
        bit, some token of the image before it was moved.
    """

    kept: float
    above: float
    beside: float
    found_again: dict[tuple[int, int], float]


def locality(cut: ImageTokenizer, images: Array, moves: Sequence[tuple[int, int]]) -> Locality:
    """Count pixels, pairs, and tokens found again.

    Parameters
    ----------
    cut : Tokeniser
    images : ndarray of shape (B, Y, X)
        Background is zero.
    moves : sequence of (int, int)
        Pixels down and right.

    Returns
    -------
    Structure

    Examples
    --------
    >>> from headwise.tokenizers import tokeniser
    >>> found = locality(tokeniser("rows", (4, 4)), np.eye(4)[None], [(1, 0), (0, 1)])
    >>> found.kept, found.above, found.beside, found.found_again
    (1.0, 0.0, 1.0, {(1, 0): 1.0, (0, 1): 1.0})
    """
    numbers = np.arange(np.prod(cut.image_size), dtype=np.float64).reshape(1, *cut.image_size)
    tokens = cut.tokenize(numbers)[0].astype(int)  # (N, P): which pixels each token holds
    token_of = np.zeros((numbers.size, len(tokens)), bool)
    for i, pixels in enumerate(tokens):
        token_of[pixels, i] = True
    owners = token_of.reshape(*cut.image_size, -1)
    return Locality(
        kept=float((token_of.sum(axis=1) == 1).mean()),
        above=float((owners[1:] & owners[:-1]).any(axis=-1).mean()),
        beside=float((owners[:, 1:] & owners[:, :-1]).any(axis=-1).mean()),
        found_again={move: _found_again(cut, images, move) for move in moves},
    )


def ink_lost(images: Array, move: tuple[int, int]) -> float:
    """The share of all ink that leaves the images (B, Y, X) when they are moved down and right by so many pixels.

    Examples
    --------
    >>> ink_lost(np.eye(4)[None], (1, 0))
    0.25
    """
    return 1 - float(shifted(images, *move).sum(dtype=np.float64) / images.sum(dtype=np.float64))


def _found_again(cut: ImageTokenizer, images: Array, move: tuple[int, int]) -> float:
    found = inked = 0
    for before, after in zip(cut.tokenize(images), cut.tokenize(shifted(images, *move)), strict=True):
        known = {token.tobytes() for token in before}
        there = [token.tobytes() in known for token in after if token.any()]
        found, inked = found + sum(there), inked + len(there)
    return found / inked if inked else 0.0
