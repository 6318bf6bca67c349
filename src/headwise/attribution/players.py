"""Players: the tokens, or groups of tokens, that a map ranks and that are removed together.

Words are the players of a text, whatever its sub-word tokens. An image of many patches has super-patches, blocks of
neighbouring patches; a long series has segments. Prefix tokens are no players and are never removed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from headwise.errors import DataError
from headwise.models.base import Tokens
from headwise.shapes import Array, BoolArray, IntArray, bind

_WORD_STARTS = ("Ġ", "▁", " ", "Ċ")  # how byte-level and SentencePiece tokenizers mark the beginning of a word


@dataclass(frozen=True, eq=False)
class Players:
    """Groups of tokens.

    Attributes
    ----------
    members : ndarray of bool of shape (P, T)
        Which tokens belong to each player; no token belongs to two, prefix tokens to none.
    """

    members: BoolArray

    def __len__(self) -> int:
        return len(self.members)

    def sum(self, values: Array) -> Array:
        """Values of tokens (..., T) -> sums over the tokens of each player (..., P)."""
        return np.asarray(values @ self.members.T.astype(values.dtype))

    def visible(self, keep: BoolArray) -> BoolArray:
        """Sets of players (S, P) -> the tokens (S, T) that are kept: theirs, and all that belong to no player."""
        bind(f"S {len(self)}", keep=keep)
        return np.asarray((keep.astype(np.int8) @ self.members.astype(np.int8) > 0) | ~self.members.any(axis=0))


def group_tokens(tokens: Tokens, limit: int | None = None) -> Players:
    """The players of an input.

    Parameters
    ----------
    tokens : Tokens
    limit : int, optional
        The most players for images, whose patches are then grouped into blocks, and for series, which are then
        divided into segments. Words of a text are never grouped.

    Raises
    ------
    DataError
        If there are no tokens but prefix tokens, or the limit is less than one.

    Examples
    --------
    >>> import numpy as np
    >>> spans = np.array([[0, 0], [0, 4], [4, 7], [8, 10], [0, 0]])
    >>> special = np.array([True, False, False, False, True])
    >>> tokens = Tokens("text", spans, special, ("[CLS]", "play", "##ing", "it", "[SEP]"))
    >>> group_tokens(tokens).members.astype(int)
    array([[0, 1, 1, 0, 0],
           [0, 0, 0, 1, 0]])
    """
    inner = np.flatnonzero(~tokens.prefix)
    if not len(inner):
        raise DataError("input: expected at least one token besides prefix tokens.")
    if limit is not None and limit < 1:
        raise DataError(f"limit: expected at least one player; got {limit}.")
    if tokens.kind == "text":
        groups = _words(tokens, inner)
    elif limit is None or len(inner) <= limit:
        groups = np.arange(len(inner))
    elif tokens.kind == "image":
        groups = _blocks(tokens.locations[inner], limit)
    else:
        groups = np.arange(len(inner)) * limit // len(inner)
    members = np.zeros((int(groups.max()) + 1, len(tokens)), bool)
    members[groups, inner] = True
    return Players(members[members.any(axis=1)])


def _words(tokens: Tokens, inner: IntArray) -> IntArray:
    """The index of each token's word."""
    continues = [False]
    for before, token in pairwise(inner.tolist()):
        label, previous = tokens.labels[token], tokens.labels[before]
        adjacent = tokens.locations[token, 0] == tokens.locations[before, 1] and token == before + 1
        within = label[:1].isalnum() and previous[-1:].isalnum() and not label.startswith(_WORD_STARTS)
        continues.append(label.startswith("##") or bool(adjacent and within))
    return np.cumsum(~np.array(continues)) - 1


def _blocks(boxes: IntArray, limit: int) -> IntArray:
    """The index of each patch's block, in a grid of at most `limit` blocks whose shape follows the image's."""
    top, left = (np.unique(boxes[:, axis], return_inverse=True)[1] for axis in (0, 1))
    rows, columns = int(top.max()) + 1, int(left.max()) + 1
    down = min(rows, limit, max(1, round(math.sqrt(limit * rows / columns))))
    across = min(columns, max(1, limit // down))
    return np.asarray(top * down // rows * across + left * across // columns)
