"""What the roles of heads need to know of a record's tokens: places, equal words, delimiters and parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headwise.metrics.head_roles import HeadRoles, TokenRoles, head_roles
from headwise.shapes import BoolArray, IntArray

if TYPE_CHECKING:
    from headwise.figures.record import AttentionRecord

_PUNCTUATION = frozenset(".,;:!?\n") | {">>", "...", "…"}


def measure_roles(record: AttentionRecord) -> HeadRoles:
    """The roles of all heads of a record."""
    probe = record.probe if record.probe.size else None
    return head_roles(record.weights, token_roles(record), visible=record.visible_by_layer, probe=probe)


def token_roles(record: AttentionRecord) -> TokenRoles:
    """Places, identity, delimiters and parts of the keys."""
    prefix, named = record.is_prefix, record.kind in ("text", "other") and bool(record.words)
    if not named:
        return TokenRoles(_cells(record), prefix, np.zeros(0, np.int64), np.zeros(0, bool), record.segments)
    words = [word.strip().casefold() for word in record.words]
    identity = np.unique(words, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return TokenRoles(_cells(record), prefix, identity, _delimiters(words, prefix), record.segments)


def _cells(record: AttentionRecord) -> IntArray:
    """(M, 1) places in the sequence, or (M, 2) rows and columns of a regular grid of patches."""
    m = len(record.is_prefix)
    if record.kind != "image":
        return np.arange(m)[:, None]
    top, left = np.unique(record.boxes[:, 0]), np.unique(record.boxes[:, 1])
    if len(top) * len(left) != record.num_tokens or min(len(top), len(left)) == 1:
        return np.arange(m)[:, None]  # rows of pixels, or patches that overlap irregularly, in reading order
    cells = np.zeros((m, 2), np.int64)
    rows, columns = np.searchsorted(top, record.boxes[:, 0]), np.searchsorted(left, record.boxes[:, 1])
    cells[record.content] = np.stack([rows, columns], axis=1)
    return cells


def _delimiters(words: list[str], prefix: BoolArray) -> BoolArray:
    """Separators but the first token, and punctuation."""
    punctuation = np.array([word in _PUNCTUATION for word in words])
    return np.asarray((prefix & (np.arange(len(words)) > 0)) | punctuation)
