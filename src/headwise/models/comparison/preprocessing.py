"""Inputs that two models prepare in different ways, and the mistake that explains it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import HeadwiseError
from headwise.models.base import Model
from headwise.models.loaded_model import LoadedModel
from headwise.models.preprocess.images import NORMALIZATIONS, RESAMPLING, ImagePreprocessor

Arrays = Mapping[str, npt.NDArray[Any]]

_TOLERANCE = 0.03  # of normalised pixels: two steps of one in 255, by which implementations of resizing differ
_EXACT = 1e-4
_STATISTICS = {
    "0.5 for every channel": NORMALIZATIONS["half"],
    "ImageNet's": NORMALIZATIONS["imagenet"],
    "CLIP's": NORMALIZATIONS["clip"],
    "no": ((), ()),
}
_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic")


def explain_inputs(
    first: Model, second: Model, input: Any, ours: Arrays, theirs: Arrays
) -> tuple[float, tuple[str, ...], str] | None:
    """How far the arrays are apart, the mistakes that explain it, and both in sentences; None if they are equal."""
    for name in ("pixel_values", "input_ids", "input_features"):
        if name in ours and name in theirs:
            a, b = ours[name], theirs[name]
            if _error(a, b) <= (_TOLERANCE if name == "pixel_values" else _EXACT):
                continue
            error, where = _error(a, b), f"They differ in their inputs: {name} {a.shape} and {b.shape}"
            why = _ids(a, b) if name == "input_ids" else _pixels(first, second, input, a, b)
            reason = why or "no known mistake of preprocessing explains it"
            return error, ("preprocessing",) if why else (), f"{where} (error {error:.1e}). preprocessing: {reason}."
    return None


def _error(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    return float(np.abs(a - b).max(initial=0)) if a.shape == b.shape else float("inf")


def _ids(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> str:
    """Why token ids differ: some at the ends are missing, or a text was cut."""
    longer, shorter = (a[0], b[0]) if a.shape[1] >= b.shape[1] else (b[0], a[0])
    for start in range(len(longer) - len(shorter) + 1):
        if np.array_equal(longer[start : start + len(shorter)], shorter):
            missing = [*longer[:start].tolist(), *longer[start + len(shorter) :].tolist()]
            which = "first" if a.shape[1] < b.shape[1] else "second"
            return f"the {which} model's input lacks the tokens {missing} at its ends (special tokens, or a text cut)"
    return ""


def _pixels(first: Model, second: Model, input: Any, a: npt.NDArray[Any], b: npt.NDArray[Any]) -> str:
    """Which change of one model's preprocessing makes the other's pixels."""
    for model, other, which in ((first, b, "second"), (second, a, "first")):
        preprocessor = model.preprocessor if isinstance(model, LoadedModel) else None
        if not isinstance(preprocessor, ImagePreprocessor) or isinstance(input, Mapping):
            continue
        candidates = []
        for text, pixels in _variants(preprocessor, input):
            error = _error(pixels.astype(other.dtype), other)
            if error <= _TOLERANCE:
                candidates.append((error, text))
        if candidates:
            return f"in the {which} model {min(candidates)[1]}"
    return ""


def _variants(preprocessor: ImagePreprocessor, input: Any) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Pixels with each mistake of preprocessing."""
    changes: dict[str, dict[str, Any]] = {
        f"{name} mean and standard deviation are used": {"mean": mean, "std": std}
        for name, (mean, std) in _STATISTICS.items()
    }
    changes |= {f"images are resized by {name}": {"resample": RESAMPLING[name]} for name in _FILTERS}
    changes["pixels are not divided by 255"] = {"rescale": 0.0 if preprocessor.rescale else 1 / 255}
    if (crop := preprocessor.crop) is not None:
        changes["images are resized to the whole size, without a crop"] = {"shortest": None, "size": crop, "crop": None}
        changes["images are not cut in the middle"] = {"crop": None}
    if (size := preprocessor.size) is not None:
        changes["the shorter side is resized and the middle cut"] = {"shortest": min(size), "size": None, "crop": size}
    for text, options in changes.items():
        try:
            pixels = replace(preprocessor, **options)([input])["pixel_values"]
        except HeadwiseError:  # the input is no image for this preprocessor
            return
        yield text, pixels
    yield "channels are in the order BGR", preprocessor([input])["pixel_values"][:, ::-1]
    if preprocessor.mean and len(preprocessor.mean) == 3:
        mean, std = preprocessor.mean[::-1], preprocessor.std[::-1]
        yield (
            "channels are in the order BGR",
            replace(preprocessor, mean=mean, std=std)([input])["pixel_values"][:, ::-1],
        )
