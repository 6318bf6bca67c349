"""Functions of one family that the other does not compute, constructed and run.

The final transformation is the identity unless said otherwise; D is the width, and H divides it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.attention import multi_head_attention, self_attention
from headwise.coursework.results import max_relative_difference
from headwise.shapes import Array

RANK = 1e-6  # a singular value below this share of the largest is none
SHARPNESS = 20.0  # difference of logits in the examples, so that a softmax selects one to within e^−20
_STEP = 1e-4  # of a central difference


class Setting(NamedTuple):
    """Width D, H heads, and N tokens in an input of the fits."""

    width: int = 6
    heads: int = 3
    tokens: int = 5


def outside_segment_example(setting: Setting) -> tuple[float, float]:
    """A function of several heads that no single head computes: its distance from a segment, and the segment's length.

    On equal tokens every output is Wv x whatever the weights, so a single head that computes the same function has the
    same Wv, here the identity. On two tokens its outputs then lie on the segment between them. The first of several
    heads takes its coordinates from one token and the others theirs from the other, and leave it: on the segment, the
    first and the last coordinate add up to one.
    """
    x, Wq, Wk = _choosing(setting)
    output = multi_head_attention(x, Wq, Wk, np.eye(setting.width), heads=setting.heads).output[0]
    along = x[1] - x[0]
    t = np.clip((output - x[0]) @ along / (along @ along), 0, 1)
    return float(np.linalg.norm(output - x[0] - t * along)), float(np.linalg.norm(along))


def outside_interval_example(setting: Setting) -> float:
    """A function of several heads with a final transformation that they do not compute without one.

    Without one, each output coordinate is one head's mixture of the tokens' own, mapped as equal tokens force it to be.
    Here the first two heads are both given coordinate 0, one takes it from a token where it is 1 and the other from one
    where it is 0, and Wo takes twice the first less the second: equal tokens keep it, and these two give 2.
    """
    d = setting.width // setting.heads
    x, Wq, Wk = _choosing(setting)
    Wv, Wo = np.zeros((2, setting.width, setting.width))
    Wv[0, 0] = Wv[d, 0] = 1
    Wo[0, 0], Wo[0, d] = 2, -1
    return float(multi_head_attention(x, Wq, Wk, Wv, Wo, heads=setting.heads).output[0, 0])


def _choosing(setting: Setting) -> tuple[Array, Array, Array]:
    """Two tokens, and matrices by which the first head takes all from token 0 and the others all from token 1.

    The tokens share coordinate 1, from which every query is made; a head's key is the coordinate that only one has.
    """
    x = np.zeros((2, setting.width))
    x[0, 0] = x[1, -1] = 1
    x[:, 1] = 1
    d = setting.width // setting.heads
    Wq, Wk = np.zeros((2, setting.width, setting.width))
    for h, token in enumerate((0, *[-1] * (setting.heads - 1))):
        Wq[h * d, 1], Wk[h * d, token] = SHARPNESS * np.sqrt(d), 1
    return x, Wq, Wk


def projections(setting: Setting, rng: np.random.Generator) -> float:
    """With Wo the inverse of a random Wv and E_h = Wo_h Wv_h: the largest entry of E_h E_g − δ_hg E_h and Σ E_h − I."""
    Wv = rng.normal(size=(setting.width, setting.width))
    shares = [
        o @ v for o, v in zip(np.split(np.linalg.inv(Wv), setting.heads, 1), np.split(Wv, setting.heads), strict=True)
    ]
    off = [a @ b - (a if i == j else 0) for i, a in enumerate(shares) for j, b in enumerate(shares)]
    return float(np.abs([*off, sum(shares) - np.eye(setting.width)]).max())


def directions(heads: int, width: int, final: bool, rng: np.random.Generator) -> int:
    """The rank of the derivative of a random function, on many inputs, by its weights.

    The weights that do not count: A Wq and A⁻ᵀ Wk of a head give the same logits for every invertible A, and with a
    final transformation Wv and Wo share such freedom.

    Examples
    --------
    >>> directions(1, 6, False, np.random.default_rng(0)), directions(3, 6, False, np.random.default_rng(0))
    (72, 96)
    """
    shape = (4 if final else 3, width, width)
    weights = rng.normal(size=shape) / np.sqrt(width)
    x = rng.normal(size=(2 * weights.size // (3 * width) + 1, 3, width))  # twice as many outputs as weights

    def outputs(vector: Array) -> Array:
        return np.asarray(multi_head_attention(x, *vector.reshape(shape), heads=heads).output).ravel()

    steps = _STEP * np.eye(weights.size)
    jacobian = [(outputs(weights.ravel() + e) - outputs(weights.ravel() - e)) / (2 * _STEP) for e in steps]
    return int(np.linalg.matrix_rank(np.array(jacobian), rtol=RANK))


def read_off_forms(heads: int, rng: np.random.Generator, *, width: int = 6) -> tuple[Array, float]:
    """The bilinear form behind every output coordinate of a random function, read off its outputs alone.

    With Wv the identity and two tokens, coordinate i of output 0 is p x₀ᵢ + (1 − p) x₁ᵢ with p = σ(x₀ᵀ M (x₀ − x₁)) and
    M = Wqᵀ Wk / √d of the head that owns i. So the logit of p is linear in M, and enough inputs determine it. A single
    head has one M for all coordinates, of a rank up to D; each of H has its own, of rank D/H at most. Hence several
    heads compute no function of a single head whose M has a higher rank.

    Returns M as each coordinate shows it (D, D, D), D being `width`, and its largest difference from the M that the
    function was made with.

    Examples
    --------
    >>> forms, deviation = read_off_forms(3, np.random.default_rng(0))
    >>> [int(rank) for rank in np.linalg.matrix_rank(forms, tol=1e-6)], deviation < 1e-9
    ([2, 2, 2, 2, 2, 2], True)
    """
    Wq, Wk = rng.normal(size=(2, width, width)) / np.sqrt(width)
    x = rng.normal(size=(6 * width**2, 2, width))  # many more pairs of tokens than the D² numbers of a form
    o = multi_head_attention(x, Wq, Wk, np.eye(width), heads=heads).output[:, 0]
    taken, left = (o - x[:, 1], x[:, 0] - o)  # p : 1 − p, both times x₀ᵢ − x₁ᵢ
    # a coordinate in which the tokens hardly differ shows p badly, and so does a p near 0 or 1
    sure = np.minimum(np.abs(taken), np.abs(left)) > 1e-3
    products = np.einsum("bi,bj->bij", x[:, 0], x[:, 0] - x[:, 1]).reshape(len(x), -1)
    forms = [
        np.linalg.lstsq(products[s], np.log(t[s] / f[s]), rcond=None)[0]
        for s, t, f in zip(sure.T, taken.T, left.T, strict=True)
    ]
    parts = zip(np.split(Wq, heads), np.split(Wk, heads), strict=True)
    made_with = np.stack([q.T @ k / np.sqrt(len(q)) for q, k in parts]).repeat(width // heads, axis=0)
    recovered = np.reshape(forms, (width, width, width))
    return recovered, float(np.abs(recovered - made_with).max())


def single_input_example(X: Array, output: Array) -> float | None:
    """How far a single head, made for this one input, stays from an output (N, D'), as a share of its largest entry.

    If the N tokens are linearly independent, X X⁺ = I. So Wqᵀ = Wkᵀ = a (X⁺ | 0) gives the logits c I for a = √(c √D),
    hence weights A that can be inverted, and Wvᵀ = X⁺ A⁻¹ O gives A X Wvᵀ = O, whatever O.

    Returns None if the tokens are not independent.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> single_input_example(rng.normal(size=(3, 4)), rng.normal(size=(3, 2))) < 1e-12
    True
    >>> single_input_example(np.ones((3, 4)), rng.normal(size=(3, 2))) is None
    True
    """
    n, d = X.shape
    if np.linalg.matrix_rank(X, rtol=RANK) < n:
        return None
    inverse = np.linalg.pinv(X)  # (D, N)
    Wq = np.sqrt(np.sqrt(d)) * np.concatenate([inverse, np.zeros((d, d - n))], axis=1).T
    weights = self_attention(X, Wq, Wq, np.eye(d)).weights
    Wv = (inverse @ np.linalg.solve(weights, output)).T
    result = self_attention(X, Wq, Wq, Wv).output
    return max_relative_difference(result, output)
