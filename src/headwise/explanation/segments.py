"""The two parts of an input: a pair of texts, or what lies on both sides of a separator."""

from __future__ import annotations

from typing import Any

import numpy as np

from headwise.models import Tokens
from headwise.shapes import IntArray

_SEPARATORS = (">>", "=>", "->", "→", "|||", "||", "\n", "\t")  # that occur once, between two parts


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
