"""Pieces of words merged into words."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from headwise.errors import DataError
from headwise.figures import AttentionRecord
from headwise.shapes import IntArray

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]+")


def merge_pieces(record: AttentionRecord) -> AttentionRecord:
    """The record with the tokens of each word merged into one.

    Weights on the pieces of a word are added, and those from its pieces averaged, so that rows still sum to one.
    Source: Clark et al., arXiv 1906.04341 (2019), section 4.1.

    Raises
    ------
    DataError
        If the input is not a text.
    """
    if record.kind != "text" or not record.is_self_attention:
        raise DataError(f"merge_words: expected self-attention over a text; the input is of kind {record.kind!r}.")
    groups = _groups(record)
    count = int(groups.max()) + 1
    member = (groups == np.arange(count)[:, None]).astype(np.float32)  # (W, M)
    share = member / member.sum(axis=1, keepdims=True)
    first = np.array([int(np.flatnonzero(groups == word)[0]) for word in range(count)])
    last = np.array([int(np.flatnonzero(groups == word)[-1]) for word in range(count)])
    spans = np.zeros((len(groups), 2), np.int64)
    spans[record.content] = record.boxes
    merged = np.stack([spans[first, 0], spans[last, 1]], axis=1)
    prefix = record.is_prefix[first]
    words = tuple(
        record.words[a] if prefix[i] else record.text[merged[i, 0] : merged[i, 1]] for i, a in enumerate(first)
    )
    visible = record.visible
    return replace(
        record,
        weights=share @ record.weights @ member.T,
        boxes=merged[~prefix],
        prefix=prefix,
        words=words,
        segments=record.segments[first] if record.segments.size else record.segments,
        visible=np.asarray((member @ visible.astype(np.float32) @ member.T) > 0) if visible.size else visible,
        value_norms=record.value_norms @ share.T if record.value_norms.size else record.value_norms,
        ranking=np.zeros(0, np.float32),
        curves=np.zeros((0, 0, 0), np.float32),
        faithfulness=None,
        dependence=None,
    )


def _groups(record: AttentionRecord) -> IntArray:
    """(M,): the number of the word that each token belongs to; each special token is a word."""
    owner = np.full(len(record.text) + 1, -1)
    for number, match in enumerate(_WORD.finditer(record.text)):
        owner[match.start() : match.end()] = number
    groups = np.zeros(len(record.is_prefix), np.int64)
    previous, place = -2, 0
    for key in range(len(groups)):
        word = -1
        if not record.is_prefix[key]:
            begin, end = record.boxes[place].tolist()
            place += 1
            inside = owner[begin:end]
            word = int(inside[inside >= 0][0]) if (inside >= 0).any() else -1
        groups[key] = groups[key - 1] + (word < 0 or word != previous) if key else 0
        previous = word if word >= 0 else -2
    return groups
