"""Attention arrays that were extracted elsewhere, judged against a capture of the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError
from headwise.shapes import Array, BoolArray

_TOLERANCE = 1e-4  # largest difference between equal weights; half precision is allowed more
_HALF = 4e-3
_NAMES = ("weights", "attention", "attentions")


@dataclass(frozen=True)
class ArrayComparison:
    """The result of a comparison."""

    same: bool  # whether the arrays are the attention weights of the capture
    code: str  # of the catalogue's mistake that explains them, if there is one
    text: str  # the result in one or two sentences


def compare_arrays(theirs: Mapping[str, npt.NDArray[Any]], ours: Mapping[str, npt.NDArray[Any]]) -> ArrayComparison:
    """Whether arrays are the weights of a capture, and what they are if they are not.

    `theirs`: one array, or one named ``weights``, ``attention`` or ``attentions``; or one for each layer, in the order
    of their names.
    `ours`: what `Capture.save` wrote.
    Raises DataError if `ours` was not saved by a capture, or its layers have different shapes.

    Examples
    --------
    >>> p = np.random.default_rng(0).dirichlet(np.ones(5), (1, 2, 3, 5))
    >>> capture = {"weights": p, "verified": np.array([True, True])}
    >>> compare_arrays({"a": p[0].mean(axis=1)}, capture).code
    'heads-averaged'
    """
    if "verified" not in ours or "weights" not in ours:
        raise DataError(
            "ours: expected a file that a capture saved, whose layers have one shape; it has no arrays 'weights' and "
            "'verified'."
        )
    extracted = _stacked(theirs)
    p = ours["weights"].astype(np.float64)
    tolerance = _HALF if extracted.dtype.itemsize < 4 else _TOLERANCE
    note = "" if ours["verified"].all() else " The capture itself is not verified, so this may be its mistake."
    for title, code, array in _candidates(p, ours):
        for which, part in _parts(array):
            difference = _difference(extracted, part)
            if difference is not None and difference <= tolerance:
                same = not title
                what = "They are the attention weights of the run" if same else f"They are not: {title}"
                return ArrayComparison(same, code, f"{what}{which} (largest difference {difference:.1e}).{note}")
    closest = _difference(extracted, p)
    why = f"largest difference {closest:.1e}" if closest is not None else f"shapes {extracted.shape} and {p.shape}"
    return ArrayComparison(
        False, "", f"They are not the attention weights of the run, nor close to them ({why}).{note}"
    )


def _candidates(p: Array, ours: Mapping[str, Any]) -> Iterator[tuple[str, str, Array]]:
    """What people extract instead of the weights (B, L, H, N, M), with a sentence and a code of the catalogue."""
    yield "", "", p
    mean = p.mean(axis=2)
    yield "they are the mean over heads", "heads-averaged", mean
    yield "they are the sum over heads", "heads-averaged", p.sum(axis=2)
    yield "a second softmax was applied to the weights", "softmax-twice", _softmax(p)
    yield "a second softmax was applied to the mean over heads", "softmax-twice", _softmax(mean)
    yield "they are transposed: keys by queries", "weights-transposed-out", p.mT
    for title, cut in _CUTS.items():
        yield f"{title} was cut off, so rows no longer sum to one", "", cut(p)
        yield f"{title} was cut off and the rows were normalised again", "", _normalized(cut(p))
        yield f"{title} was cut off, and they are the mean over heads", "heads-averaged", cut(mean)
    n, m = p.shape[-2:]
    future = np.arange(m) > np.arange(n)[:, None] + m - n
    yield "a causal mask was added that the model does not have", "", _normalized(np.where(future, 0, p))
    if "output" in ours:
        yield from _from_outputs(ours)
    if {"q", "k", "lse", "scale"} <= ours.keys():
        yield from _from_logits(p, ours, future)


def _from_outputs(ours: Mapping[str, Any]) -> Iterator[tuple[str, str, Array]]:
    """Outputs taken for weights; o is (B, L, H, N, e)."""
    o = ours["output"].astype(np.float64)
    b, layers, h, n, e = o.shape
    yield "they are the outputs of the heads, not their weights", "", o
    yield "they are the outputs of attention, heads side by side", "", o.swapaxes(2, 3).reshape(b, layers, n, h * e)
    v = np.repeat(ours["v"].astype(np.float64), h // ours["v"].shape[2], axis=2)
    if v.shape[-1] == e:
        yield "they are outputs times values, which is no softmax", "softmax-missing", o @ v.mT


def _from_logits(p: Array, ours: Mapping[str, Any], future: BoolArray) -> Iterator[tuple[str, str, Array]]:
    """Weights of other logits (B, L, H, N, M)."""
    q, k = ours["q"].astype(np.float64), ours["k"].astype(np.float64)
    products = q @ np.repeat(k, q.shape[2] // k.shape[2], axis=2).mT
    scale = ours["scale"].reshape(1, -1, 1, 1, 1)
    hidden: BoolArray = p == 0
    with np.errstate(divide="ignore"):
        logits = np.log(p) + ours["lse"].astype(np.float64)[..., None]
    free = np.where(hidden, products * scale, logits)
    if hidden.any():
        causal = bool((hidden & future).sum() == hidden.sum())
        code = "causal-missing" if causal else "mask-ignored"
        yield f"the {'causal mask' if causal else 'mask'} was left out", code, _softmax(free)
        yield "the causal mask was left out", "causal-missing", _softmax(np.where(hidden & ~future, -np.inf, free))
    yield "they are the logits, before the softmax", "weights-before-softmax", np.where(hidden, -np.inf, logits)
    yield "they are the logits, before mask and softmax", "weights-before-softmax", free
    yield "they are the unscaled products of queries and keys", "weights-before-softmax", products
    d, heads = q.shape[-1], q.shape[2]
    for title, code, factor in (
        ("the scale was left out", "scale-missing", 1.0),
        ("the scale is that of the model width", "scale-model-width", (d * heads) ** -0.5),
        ("the scale is 1/d, without the root", "scale-no-root", 1 / max(d, 1)),
    ):
        yield title, code, _softmax(np.where(hidden, -np.inf, products * factor))


_CUTS: dict[str, Callable[[Array], Array]] = {
    "the first column": lambda p: p[..., 1:],
    "the last column": lambda p: p[..., :-1],
    "the first token": lambda p: p[..., 1:, 1:],
    "all but the first row, and its first column,": lambda p: p[..., 0, 1:],
}


def _parts(array: Array) -> Iterator[tuple[str, Array]]:
    """All layers, then each layer alone; all heads."""
    yield "", array
    if array.shape[1] > 1:
        for layer in range(array.shape[1]):
            yield f", of layer {layer} alone", array[:, layer]


def _difference(theirs: Array, ours: Array) -> float | None:
    """Largest difference, apart from axes of size 1 and the order of items and layers; None if shapes differ."""
    differences = []
    for array in (ours, ours.swapaxes(0, 1)):
        a, b = np.squeeze(theirs), np.squeeze(array)
        if a.shape == b.shape:
            with np.errstate(invalid="ignore"):
                away = np.where(a == b, 0, np.abs(a - b))
            differences.append(float(np.nan_to_num(away, nan=np.inf).max(initial=0)))
    return min(differences, default=None)


def _stacked(arrays: Mapping[str, npt.NDArray[Any]]) -> Array:
    """One array, or one per layer stacked."""
    named = [name for name in _NAMES if name in arrays]
    parts = [arrays[named[0]]] if named else [arrays[name] for name in sorted(arrays, key=_order)]
    if not parts or any(array.dtype.kind != "f" or array.shape != parts[0].shape for array in parts):
        raise DataError("theirs: expected one array of floats, or one of the same shape per layer.")
    return np.asarray(parts[0] if len(parts) == 1 else np.stack(parts), np.result_type(parts[0], np.float16))


def _order(name: str) -> tuple[int, str]:
    digits = "".join(c if c.isdigit() else " " for c in name).split()
    return int(digits[-1]) if digits else 0, name


def _softmax(s: Array) -> Array:
    top = s.max(axis=-1, keepdims=True)
    power = np.exp(s - np.where(np.isneginf(top), 0, top))
    return _normalized(power)


def _normalized(p: Array) -> Array:
    total = p.sum(axis=-1, keepdims=True)
    return np.asarray(p / np.where(total == 0, 1, total))
