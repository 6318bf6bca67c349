"""Names of a model's scores: those of its classes, or the texts of the next tokens."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from headwise.errors import HeadwiseError
from headwise.shapes import IntArray

_BLANKS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


class ScoreNames(NamedTuple):
    """Names of some scores, empty where there is none, and whether the scores are of next tokens."""

    names: tuple[str, ...]
    next_token: bool


def name_scores(model: Any, indices: IntArray, count: int) -> ScoreNames:
    """Name some of a model's scores.

    Parameters
    ----------
    model : Model
    indices : ndarray of int
    count : int
        How many scores the model has; they are next tokens if its vocabulary is as large.
    """
    config: Any = getattr(model, "config", None)
    labels = config.get("id2label") if hasattr(config, "get") else None
    tokenizer = _tokenizer(model)
    size = _vocabulary_size(tokenizer)
    if size and size <= count < 1.1 * size + 512:  # a vocabulary may be padded to a round number
        return ScoreNames(tuple(f"“{_token_text(tokenizer, int(i))}”" for i in indices), True)
    if labels:
        return ScoreNames(
            tuple(str(labels.get(str(i), labels.get(i, ""))) for i in np.asarray(indices).tolist()), False
        )
    return ScoreNames(("",) * len(indices), False)


def _tokenizer(model: Any) -> Any:
    """The tokenizer of a loaded model, or the one that was passed for a model of another framework."""
    texts = getattr(getattr(model, "reader", None), "texts", None)
    owner = texts if texts is not None else _preprocessor(model)
    tokenizer = getattr(owner, "tokenizer", None)
    return getattr(tokenizer, "tokenizer", tokenizer)


def _preprocessor(model: Any) -> Any:
    """The preprocessor of a loaded model; None if its folder has none."""
    try:
        return getattr(model, "preprocessor", None)
    except HeadwiseError:
        return None


def _vocabulary_size(tokenizer: Any) -> int:
    if hasattr(tokenizer, "get_vocab_size"):
        return int(tokenizer.get_vocab_size())
    return len(tokenizer) if hasattr(tokenizer, "__len__") and hasattr(tokenizer, "decode") else 0


def _token_text(tokenizer: Any, index: int) -> str:
    """The text of a token; of blanks, signs for them; of a special token, its name."""
    text = str(tokenizer.decode([index]))
    if text.strip():
        return text.strip()
    if text:
        return "".join(_BLANKS.get(sign, sign) for sign in text)
    convert = getattr(tokenizer, "id_to_token", None) or getattr(tokenizer, "convert_ids_to_tokens", None)
    return str(convert(index) or "") if convert else ""
