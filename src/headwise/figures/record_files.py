"""The arrays of an attention record in an .npz file: their names, types and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.attribution import MAPS
from headwise.data.array_files import load_npz
from headwise.errors import DataError
from headwise.figures.dependence import Dependence
from headwise.metrics.faithfulness import Faithfulness
from headwise.shapes import Array, IntArray, bind
from headwise.validation import check_choice

TEST = ("ranking", "faithfulness", "curves")  # the values of a record that a faithfulness test sets

_SCORE = "faithfulness_"  # prefix of a faithfulness score's values in a file
_DEPENDENCE = "dependence_"  # prefix of the values of what the prediction depends on
_OTHERS = "other_arrays"  # the name of the file, in the same folder, with the arrays that this one lacks
_REQUIRED = {  # the kind of an array's numbers and how many axes it has
    "image": ("f", (2, 3)),
    "boxes": ("i", (2,)),
    "weights": ("f", (4,)),
    "probabilities": ("f", (1,)),
    "label": ("i", (0,)),
    "head_width": ("i", (0,)),
    "positions": ("f", (2,)),
    "dropped_weight": ("f", (0,)),
    "pixels_permuted": ("b", (0,)),
    "unverified": ("b", (0,)),
    "curves": ("f", (3,)),
    "ranking": ("f", (1,)),
}
_OPTIONAL = {  # files of the first version have none of these
    "kind": ("U", (0,)),
    "prefix": ("b", (1,)),
    "words": ("U", (1,)),
    "query_words": ("U", (1,)),
    "text": ("U", (0,)),
    "segments": ("i", (1,)),
    "visible": ("b", (2, 3)),
    "value_norms": ("f", (3,)),
    "probe": ("f", (4,)),
    "top_names": ("U", (1,)),
    "next_token": ("b", (0,)),
    "other_layers": ("i", (0,)),
    "typicality": ("f", (0,)),
}
_DEPENDENCE_ARRAYS = {
    "players": ("i", (1,)),
    "attention": ("f", (1,)),
    "values": ("f", (1,)),
    "map": ("U", (0,)),
    "audited": ("i", (0,)),
    "confidence": ("f", (0,)),
    "data": ("U", (0,)),
}
_KIND_NAMES = {"f": "floating-point number", "i": "whole number", "b": "truth value", "U": "text"}
_INPUT_KINDS = ("image", "text", "series", "other")


def is_record(arrays: Mapping[str, object]) -> bool:
    """Whether arrays of these names were written by `AttentionRecord.save`."""
    return arrays.keys() >= _REQUIRED.keys()


def load_arrays(path: Path, alone: str = "") -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file by name, as `load_npz`, with those of another file that it refers to.

    Raises
    ------
    DataError
        If a file does not exist or cannot be read.
    """
    arrays = load_npz(path, alone)
    if _OTHERS not in arrays:
        return arrays
    name = str(arrays.pop(_OTHERS))
    if name in (path.name, "..") or Path(name).name != name:
        raise DataError(f"{path}: {_OTHERS}: expected the name of another file in the same folder; got {name!r}.")
    return load_npz(path.with_name(name)) | arrays


def pack(values: Mapping[str, Any], others: Path | None = None) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a record's values, by name; `others` is the file in the same folder with those that are missing."""
    nested = {_SCORE: values["faithfulness"], _DEPENDENCE: values.get("dependence")}
    arrays = {
        name: np.asarray(v, dtype=str if isinstance(v, tuple) else None)
        for name, v in values.items()
        if name not in ("faithfulness", "dependence")
    }
    for prefix, value in nested.items():
        if value is not None:
            arrays |= {prefix + f.name: np.asarray(getattr(value, f.name)) for f in fields(value)}
    return arrays if others is None else arrays | {_OTHERS: np.asarray(others.name)}


def unpack(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The values of a record from its arrays; raises DataError if one is missing or is not what `pack` writes."""
    if missing := _REQUIRED.keys() - arrays.keys():
        raise DataError(f"arrays: not those of an attention record; missing {', '.join(sorted(missing))}.")
    formats = _REQUIRED | {name: kind for name, kind in _OPTIONAL.items() if name in arrays}
    values: dict[str, Any] = {}
    for name, (kinds, axes) in formats.items():
        array = arrays[name]
        if kinds == "U" and not array.size:  # an empty list of names has no type
            values[name] = ()
            continue
        _check_array(name, array, kinds, axes)
        if kinds == "U":
            values[name] = tuple(array.tolist()) if axes == (1,) else str(array)
        else:
            values[name] = array if array.ndim else array.item()
    if values.get("kind", "image") not in _INPUT_KINDS:
        raise DataError(f"kind: expected one of {', '.join(_INPUT_KINDS)}; got {values['kind']!r}.")
    scores = {name.removeprefix(_SCORE): arrays[name] for name in arrays if name.startswith(_SCORE)}
    maps = {name.removeprefix(_DEPENDENCE): arrays[name] for name in arrays if name.startswith(_DEPENDENCE)}
    return values | {
        "faithfulness": _faithfulness(scores) if scores else None,
        "dependence": _dependence(maps) if maps else None,
    }


def check_layout(kind: str, image: Array, boxes: IntArray) -> None:
    """Raise DataError for pixels outside 0 to 1, or tokens outside the image."""
    if kind != "image":
        return
    if image.min(initial=0) < 0 or image.max(initial=0) > 1:
        raise DataError("image: expected pixels from 0 to 1; some are outside this range.")
    corner, side = boxes[:, :2], boxes[:, 2:]
    if not len(corner) or corner.min() < 0 or side.min() < 1 or (corner + side > image.shape[:2]).any():
        raise DataError(f"boxes: expected tokens within the image's {image.shape[0]} × {image.shape[1]} pixels.")


def _check_array(name: str, array: npt.NDArray[Any], kinds: str, axes: tuple[int, ...]) -> None:
    """Raise DataError for an array of another type or number of axes, or one with NaN or infinity."""
    if array.dtype.kind not in kinds or array.ndim not in axes:
        number, dimensions = _KIND_NAMES[kinds], " or ".join(map(str, axes))
        expected = f"{number}s, {dimensions}-dimensional" if axes != (0,) else f"one {number}"
        raise DataError(f"{name}: expected {expected}; got {array.dtype} of shape {array.shape}.")
    if kinds == "f" and not np.isfinite(array).all():
        raise DataError(f"{name}: expected numbers; some are NaN or infinite.")


def _faithfulness(arrays: Mapping[str, npt.NDArray[Any]]) -> Faithfulness:
    types = {f.name: str(f.type) for f in fields(Faithfulness)}
    formats = {name: ("i" if t == "int" else "f", (int(t.startswith("tuple")),)) for name, t in types.items()}
    values = _nested(_SCORE, formats, arrays, "the scores of one faithfulness test")
    for name, (_, axes) in formats.items():
        bind("3" if axes == (1,) else "", **{_SCORE + name: arrays[name]})
    scores: dict[str, Any] = {name: v if np.isscalar(v) else tuple(v.tolist()) for name, v in values.items()}
    return Faithfulness(**scores)


def _dependence(arrays: Mapping[str, npt.NDArray[Any]]) -> Dependence:
    dependence = Dependence(**_nested(_DEPENDENCE, _DEPENDENCE_ARRAYS, arrays, "what one prediction depends on"))
    check_choice(f"{_DEPENDENCE}map", dependence.map, MAPS)
    return dependence


def _nested(
    prefix: str, formats: Mapping[str, tuple[str, tuple[int, ...]]], arrays: Mapping[str, npt.NDArray[Any]], what: str
) -> dict[str, Any]:
    """The values of a nested record from the arrays whose names have this prefix in the file."""
    if unexpected := formats.keys() ^ arrays.keys():
        raise DataError(f"{prefix}…: expected {what}; missing or unknown: {', '.join(sorted(unexpected))}.")
    for name, (kinds, axes) in formats.items():
        _check_array(prefix + name, arrays[name], kinds, axes)
    return {name: array if array.ndim else array.item() for name, array in arrays.items()}
