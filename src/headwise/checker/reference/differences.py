"""How far outputs, and attention weights, are from those expected."""

from __future__ import annotations

import math

from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

# how far rounding may take an answer at most, relative to its largest number, by the type that it was computed in
PRECISIONS = {"float64": 1e-9, "float32": 3e-4, "float16": 4e-2}


def difference(got: Array, expected: Array) -> float:
    """Largest difference relative to the largest number expected; inf for other shapes, or for NaN in other places."""
    if got.shape != expected.shape:
        return float("inf")
    with np.errstate(invalid="ignore", over="ignore"):
        error, largest = _largest(got - expected), _largest(expected)
        if not math.isfinite(error + largest):
            finite = np.isfinite(expected)
            if not (np.isfinite(got) == finite).all():
                return float("inf")
            error, largest = _largest((got - expected)[finite]), _largest(expected[finite])
    return error / (largest if largest > 0 else 1.0)


def _largest(a: Array) -> float:
    return float(np.abs(a).max(initial=0))


def weights_difference(got: Array, expected: Array) -> float:
    """As `difference`; those of the first head, the mean over the heads, and another order of them are weights too."""
    if got.shape == expected.shape:
        error = difference(got, expected)
        if error < PRECISIONS["float16"] or expected.shape[1] == 1:
            return error
        return min(error, _any_order(got, expected))
    if got.ndim == 4 and got.shape[1] == 1:
        return min(difference(got, one) for one in (expected.mean(axis=1, keepdims=True), expected[:, :1]))
    return float("inf")


def _any_order(got: Array, expected: Array) -> float:
    """The difference once each head is matched with its nearest, if that uses every head."""
    apart = [[difference(g, e) for e in expected.swapaxes(0, 1)] for g in got.swapaxes(0, 1)]
    nearest = [row.index(min(row)) for row in apart]
    return max(map(min, apart)) if len(set(nearest)) == len(nearest) else float("inf")
