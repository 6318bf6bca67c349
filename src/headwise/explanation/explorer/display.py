"""How the page shows an input: names of its tokens, a picture, a text in pieces, or the curves of a series."""

from __future__ import annotations

import base64
import io
from collections import Counter
from typing import Any

import numpy as np

from headwise.errors import require_extra
from headwise.figures import AttentionRecord
from headwise.shapes import Array, BoolArray

_CURVE_LEVELS = 1000  # of a series between its extremes
_JPEG_ABOVE = 40_000  # pixels of a coloured picture, above which it is stored with losses


def displayed_input(record: AttentionRecord) -> dict[str, Any]:
    """What the page draws the weights on, as JSON types and arrays."""
    if record.kind == "image":
        has_picture = bool(record.image.any())
        return {
            "size": list(record.size),
            "boxes": record.boxes.tolist(),
            "picture": _data_uri(record.image) if has_picture else "",
            "outline": outline(record.ink) if record.ink.any() else "",
        }
    if record.kind == "series":
        low, high = record.image.min(axis=0), record.image.max(axis=0)
        levels = np.rint((record.image - low) / np.where(high > low, high - low, 1) * _CURVE_LEVELS)
        return {"curves": [column.astype(np.int64) for column in levels.T], "spans": record.boxes.tolist()}
    end = int(record.boxes[:, 1].max(initial=0))
    return {"pieces": _pieces(record), "unread": record.text[end:].strip()}


def token_names(record: AttentionRecord) -> tuple[list[str], list[str]]:
    """A name for each key and each query, as a sentence uses it."""
    keys = _key_names(record)
    if record.is_self_attention:
        return keys, keys
    return keys, [f"query {n + 1}" if word == str(n + 1) else f"query “{word.strip()}”"
                  for n, word in enumerate(record.query_words)]  # fmt: skip


def _key_names(record: AttentionRecord) -> list[str]:
    names, number = [], 0
    totals, counts = Counter(record.words), Counter[str]()
    columns = int((record.boxes[:, 0] == record.boxes[0, 0]).sum()) if record.kind == "image" else 0
    for key, is_prefix in enumerate(record.is_prefix.tolist()):
        word = record.words[key].strip() if record.words else ""
        number += not is_prefix
        if is_prefix:
            counts[word] += 1
            repeated = totals[record.words[key]] > 1 if record.words else False
            is_class = key == 0 and record.kind != "text" and record.has_class_token
            default = "the class token" if is_class else f"{word or 'prefix token'}"
            names.append(f"{default} {counts[word]}" if repeated or not (is_class or word) else default)
        elif record.kind == "image" and columns not in (1, record.num_tokens):
            row, column = divmod(number - 1, columns)
            names.append(f"token {number} (row {row + 1}, column {column + 1})")
        elif record.kind == "series":
            begin, end = record.boxes[number - 1].tolist()
            names.append(f"token {number} (steps {begin} to {end - 1})" if end - begin > 1 else f"step {begin}")
        elif record.words and record.kind != "image" and not word.isdecimal():
            names.append(f"“{word or '␣'}” ({number})")
        else:
            names.append(f"token {number}")
    return names


def _pieces(record: AttentionRecord) -> list[list[Any]]:
    """Each key's text, and what precedes it: 0 nothing, 1 a gap, 2 a line break."""
    pieces: list[list[Any]] = []
    place, previous = 0, 0
    for key, is_prefix in enumerate(record.is_prefix.tolist()):
        word = record.word(key)
        if is_prefix or not record.text:
            place += not is_prefix
            pieces.append([word.strip() or "␣", 1])
            continue
        begin, end = record.boxes[place].tolist()
        text = record.text[begin:end] if record.text[begin:end].strip() else word
        between = record.text[previous:begin] + text[: len(text) - len(text.lstrip())]
        gap = 2 if "\n" in between and place else 1 if between or place == 0 or key == 0 else 0
        pieces.append([text.strip().replace("\n", "⏎") or "␣", gap])
        place, previous = place + 1, max(previous, end)
    return pieces


def outline(ink: BoolArray) -> str:
    """The edges of the pixels that are ink, as the data of an SVG path.

    Examples
    --------
    >>> outline(np.array([[False, True]]))
    'M1 0h1M1 1h1M1 0v1M2 0v1'
    """
    padded = np.pad(ink, 1)
    below = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    right = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    return "".join([f"M{x} {y}h1" for y, x in below.tolist()] + [f"M{x} {y}v1" for y, x in right.tolist()])


def _data_uri(image: Array) -> str:
    """A picture as the value of an attribute `src`."""
    with require_extra("the explorer", "pillow", "lab"):
        from PIL import Image
    pixels = Image.fromarray(np.rint(image * 255).astype(np.uint8))
    lossy = image.ndim == 3 and image.shape[0] * image.shape[1] > _JPEG_ABOVE
    buffer = io.BytesIO()
    if lossy:
        pixels.save(buffer, "JPEG", quality=90, subsampling=0)
    else:
        pixels.save(buffer, "PNG", optimize=True)
    kind = "jpeg" if lossy else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
