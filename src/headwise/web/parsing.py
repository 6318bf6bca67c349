"""What people send, made into arrays, or refused with a message that says why."""

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
from headwise.errors import DataError, MissingExtraError
from headwise.shapes import Array
from headwise.web.middleware import RequestRejected

__all__ = ["parse_image", "parse_json", "parse_matrix"]

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
_PIXELS = 4_000_000  # of an image; the page sends far smaller ones
_SCANS = 100  # of a JPEG; each goes over all pixels, and ordinary progressive ones have about ten
_SIDE = 16  # rows and columns of a matrix


def parse_image(body: bytes) -> PreparedDigit:
    """An image file as a digit, its size read from its header before anything is decoded.

    Raises
    ------
    Refused
        415 for what is no image, 413 for one of too many pixels or scans, 422 for one without a digit.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("reading images", "pillow", "lab") from None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(body), formats=_FORMATS) as opened:
            width, height = opened.size
    except Image.DecompressionBombError:
        width = height = _PIXELS
    except Exception:  # decoders raise all kinds of errors on bytes that are made to confuse them
        raise RequestRejected(415, f"This is not an image that can be read; expected {', '.join(_FORMATS)}.") from None
    if width * height > _PIXELS:
        raise RequestRejected(413, f"The image has too many pixels: at most {_PIXELS:,}.")
    if body.startswith(b"\xff\xd8") and body.count(b"\xff\xda") > _SCANS:  # in a JPEG's data no marker comes by chance
        raise RequestRejected(413, f"The image has too many scans: at most {_SCANS}.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(body)
        try:
            return load_digit(path)
        except DataError as error:
            raise RequestRejected(422, str(error).replace(f"{path}: ", "The image: ")) from None
        except Exception:
            raise RequestRejected(415, "The image cannot be decoded; it may be cut short.") from None


def parse_json(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises
    ------
    Refused
        400 for anything else.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestRejected(400, "Expected JSON.") from None
    if not isinstance(found, dict):
        raise RequestRejected(400, "Expected a JSON object.")
    return found


def parse_matrix(name: str, text: Any) -> Array:
    r"""Numbers as people paste them: a row a line, with commas, blanks or tabs between, brackets or not.

    Raises
    ------
    DataError
        If there are none, one is no number, rows differ in length, or there are too many for this page.

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
        raise DataError(f"{name}: expected numbers, a row a line; it is empty.")
    if len(rows) > _SIDE or max(map(len, rows)) > _SIDE:
        raise DataError(f"{name}: at most {_SIDE} × {_SIDE} here; `headwise attend` takes any size.")
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
