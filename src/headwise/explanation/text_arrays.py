"""Attention records of texts, and of attention to other tokens, from arrays of other programs.

An input may have two parts: a pair of texts, or what lies on both sides of a separator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import ShapeError
from headwise.figures import AttentionRecord
from headwise.models import Tokens
from headwise.shapes import Array, BoolArray, IntArray

_SEPARATORS = (">>", "=>", "->", "→", "|||", "||", "\n", "\t")  # that occur once, between two parts
_SPECIAL = re.compile(r"\[(CLS|SEP|PAD|BOS|EOS|MASK)\]|</?s>|<pad>|<\|[^|]*\|>|<(bos|eos)>")


def names_in(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> tuple[str, ...]:
    """The texts of an array of this name; empty if there is none."""
    array = arrays.get(name)
    return tuple(map(str, array.tolist())) if array is not None and array.dtype.kind == "U" and array.ndim == 1 else ()


def causal_mask(weights: Array) -> BoolArray:
    """(T, T): the tokens that each may attend to, if no head gives a later one any weight; empty otherwise."""
    n, m = weights.shape[2:]
    if n != m or n < 3 or np.triu(weights, 1).any():
        return np.zeros((0, 0), bool)
    return np.tri(n, dtype=bool)


def text_record(
    weights: Array, words: Sequence[str], queries: Sequence[str], shared: Mapping[str, Any]
) -> AttentionRecord:
    """The record of weights (L, H, N, M) over words; keys and queries without names are numbered."""
    rows, keys = weights.shape[2:]
    names = tuple(words) or tuple(map(str, range(1, keys + 1)))
    if len(names) != keys:
        raise ShapeError(f"tokens: expected {keys} words, one for each key; got {len(names)}.")
    other = () if rows == keys and not queries else tuple(queries) or tuple(map(str, range(1, rows + 1)))
    if other and len(other) != rows:
        raise ShapeError(f"queries: expected {rows} words, one for each query; got {len(other)}.")
    special = np.array([bool(_SPECIAL.fullmatch(name.strip())) for name in names])
    special &= not special.all()
    spans = name_spans(names)
    tokens = Tokens("text", spans, special, names, " ".join(names))
    return AttentionRecord(
        np.zeros((0, 0), np.float32),
        spans[~special],
        weights,
        np.zeros(0, np.float32),
        kind="text" if words else "other",
        prefix=special,
        words=names,
        query_words=other,
        text=" ".join(names),
        segments=find_segments(None, tokens) if not other else np.zeros(0, np.int64),
        **shared,
    )


def name_spans(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Places of the names in the text that joins them by blanks."""
    stops = np.cumsum([len(name) + 1 for name in names]) - 1
    return np.stack([stops - [len(name) for name in names], stops], axis=1)


def find_segments(input: Any, tokens: Tokens) -> IntArray:
    """0 and 1 for the tokens (T,) of the first and second part, −1 for others; empty if there is one part.

    A pair of texts is divided by its texts, any other input by a special token between others, or by a separator such
    as ``>>`` that occurs once.
    """
    n = len(tokens)
    index = np.arange(n)
    content = index[~tokens.prefix]
    if isinstance(input, tuple) and len(input) == 2 and all(isinstance(text, str) for text in input):
        second = tokens.locations[:, 0] > len(input[0])
        return np.where(tokens.prefix, -1, second.astype(np.int64))
    if not len(content):
        return np.zeros(0, np.int64)
    inner = index[tokens.prefix & (index > content[0]) & (index < content[-1])]
    if len(inner):
        return np.where(tokens.prefix, -1, (index > inner[0]).astype(np.int64))
    names = [label.strip(" ") for label in tokens.labels]
    for separator in _SEPARATORS:
        if names.count(separator) == 1:
            place = names.index(separator)
            if content[0] < place < content[-1]:
                return np.where(tokens.prefix | (index == place), -1, (index > place).astype(np.int64))
    return np.zeros(0, np.int64)
