"""Rotary position embedding: pairs of features of a query or key are rotated by an angle proportional to the position.

Source: Su et al., "RoFormer", arXiv 2104.09864 (2021), section 3.4.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from headwise.shapes import Array

Pairing = Literal["halves", "neighbours"]


class Rotation(NamedTuple):
    """Angles of all positions, as cosines and sines that broadcast to (..., N, r/2), and which features form a pair.

    ``halves`` pairs feature i with i + r/2; ``neighbours`` pairs 2i with 2i + 1. The first r features rotate.
    """

    cosine: Array
    sine: Array
    pairing: Pairing


def rotary_forward(x: Array, rotation: Rotation) -> Array:
    """Rotate the pairs of x (..., N, d): (a, b) becomes (a cos − b sin, b cos + a sin)."""
    return _rotate(x, rotation.cosine, rotation.sine, rotation.pairing)


def rotary_backward(dy: Array, rotation: Rotation) -> Array:
    """Gradient with respect to x: the rotation by the opposite angle."""
    return _rotate(dy, rotation.cosine, -rotation.sine, rotation.pairing)


def _rotate(x: Array, cosine: Array, sine: Array, pairing: Pairing) -> Array:
    half = cosine.shape[-1]
    first, second = (
        (np.s_[..., :half], np.s_[..., half : 2 * half])
        if pairing == "halves"
        else (np.s_[..., 0 : 2 * half : 2], np.s_[..., 1 : 2 * half : 2])
    )
    y = x.copy()  # features from 2 · half on are left as they are
    y[first] = x[first] * cosine - x[second] * sine
    y[second] = x[second] * cosine + x[first] * sine
    return y
