"""Parse the bodies of requests into arrays, or reject them with a message that says why."""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from headwise.data.image_files import PreparedDigit, load_digit
from headwise.errors import DataError, require_extra
from headwise.models.preprocess.images import open_image
from headwise.shapes import Array
from headwise.web.middleware import RequestRejected

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
_MAX_PIXELS = 4_000_000  # the page sends far smaller images
_MAX_SCANS = 100  # of a JPEG; decoding passes over all pixels for each, and ordinary images have about ten
_MAX_SIDE = 16  # rows and columns of a matrix
_MAX_CHARACTERS = 4000  # of a text


def parse_image(body: bytes) -> Any:
    """Read an image file as a PIL image, upright and with transparency on white.

    Raises RequestRejected 415 if it is not an image, 413 if it has too many pixels or scans.
    """
    from PIL import Image

    _check_image(body)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(body), formats=_FORMATS) as opened:
            return open_image(opened)
    except Exception:
        raise _undecodable() from None


def parse_digit(body: bytes) -> PreparedDigit:
    """Read an image file as a digit; raises RequestRejected as `parse_image`, and 422 if it shows no digit."""
    _check_image(body)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(body)
        try:
            return load_digit(path)
        except DataError as error:
            raise RequestRejected(422, str(error).replace(f"{path}: ", "The image: ")) from None
        except Exception:
            raise _undecodable() from None


def _check_image(body: bytes) -> None:
    """Check the size of an image in its header, before anything is decoded."""
    with require_extra("reading images", "pillow", "lab"):
        from PIL import Image
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(body), formats=_FORMATS) as opened:
            width, height = opened.size
    except Image.DecompressionBombError:
        width = height = _MAX_PIXELS
    except Exception:  # decoders raise all kinds of errors for malicious bytes
        raise RequestRejected(415, f"This is not an image that can be read; expected {', '.join(_FORMATS)}.") from None
    if width * height > _MAX_PIXELS:
        raise RequestRejected(413, f"The image has too many pixels: at most {_MAX_PIXELS:,}.")
    if body.startswith(b"\xff\xd8") and body.count(b"\xff\xda") > _MAX_SCANS:  # markers do not occur in its data
        raise RequestRejected(413, f"The image has too many scans: at most {_MAX_SCANS}.")


def _undecodable() -> RequestRejected:
    return RequestRejected(415, "The image cannot be decoded; it may be truncated.")


def parse_text(content: dict[str, Any]) -> str | tuple[str, str]:
    """The text of a request, or its pair of texts.

    Raises DataError if there is none, or it is too long.

    Examples
    --------
    >>> parse_text({"text": "A cat.", "pair": ""}), parse_text({"text": "A cat.", "pair": "A dog."})
    ('A cat.', ('A cat.', 'A dog.'))
    """
    texts = [content.get("text"), content.get("pair") or ""]
    if not all(isinstance(text, str) for text in texts):
        raise DataError("text: expected a text, or a pair of texts.")
    first, second = (str(text).strip() for text in texts)
    if not first:
        raise DataError("text: expected a sentence; it is empty.")
    if len(first) + len(second) > _MAX_CHARACTERS:
        raise DataError(f"text: at most {_MAX_CHARACTERS:,} characters on this page; got {len(first) + len(second):,}.")
    return (first, second) if second else first


def parse_json(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; raises RequestRejected 400 for anything else."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestRejected(400, "Expected JSON.") from None
    if not isinstance(content, dict):
        raise RequestRejected(400, "Expected a JSON object.")
    return content


def parse_matrix(name: str, text: Any) -> Array:
    r"""Parse a pasted matrix: one row per line, with commas, blanks or tabs between numbers, and optional brackets.

    Raises DataError if it is empty, contains something else than numbers, has rows of different length, or is too
    large.

    Examples
    --------
    >>> parse_matrix("X", "[[1, 2.5],\n [3e-1, -4]]")
    array([[ 1. ,  2.5],
           [ 0.3, -4. ]])
    """
    if not isinstance(text, str):
        raise DataError(f"{name}: expected text; got {type(text).__name__}.")
    lines = [re.sub(r"[\[\](),]", " ", line).split() for line in re.split(r"[\n;]|\]\s*,", text)]
    rows = [line for line in lines if line]
    if not rows:
        raise DataError(f"{name}: expected numbers, one row per line; it is empty.")
    if len(rows) > _MAX_SIDE or max(map(len, rows)) > _MAX_SIDE:
        raise DataError(f"{name}: at most {_MAX_SIDE} × {_MAX_SIDE} on this page; `headwise attend` takes any size.")
    numbers = []
    for i, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise DataError(f"{name}: row {i} has {len(row)} numbers, row 1 has {len(rows[0])}.")
        for word in row:
            try:
                numbers.append(float(word))
            except ValueError:
                raise DataError(f"{name}: {word[:20]!r} in row {i} is not a number.") from None
    return np.array(numbers).reshape(len(rows), -1)
