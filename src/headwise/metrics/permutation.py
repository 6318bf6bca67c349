"""A permutation test of the difference between two groups, such as the heads of two models."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.errors import ShapeError
from headwise.shapes import Array

PERMUTATIONS = 9_999
_BLOCK = 500  # permutations computed at once
_ROUNDING = 1e-12  # differences that are equal but for rounding


class TestedDifference(NamedTuple):
    """A difference of means, b − a, with its bootstrap interval and the p-value of a permutation test."""

    difference: float
    low: float
    high: float
    p_value: float


def permutation_test(
    a: Array, b: Array, *, paired: bool, rng: np.random.Generator | None = None, confidence: float = 0.95
) -> TestedDifference:
    r"""Two-sided test of whether the means of two groups differ.

    Paired values exchange their places in each pair at random; others are distributed among the groups at random.

    .. math:: p = \frac{1 + \#\{|\Delta^*| \ge |\Delta|\}}{1 + 9999}

    Sources: Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses" (2005); the correction by one is that of
    Phipson & Smyth, arXiv 1603.05766 (2010). The interval is Efron's percentile bootstrap, over pairs or both groups.

    Parameters
    ----------
    a : ndarray of shape (K,)
    b : ndarray of shape (J,)
        With `paired`, J = K.
    paired : bool
    rng : Generator, optional
        By default a new one of seed 0.
    confidence : float
        Of the interval.

    Raises
    ------
    ShapeError
        If a group is empty, or paired groups differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.arange(12.0)
    >>> result = permutation_test(a, a + 1 + 0.1 * (-1.0) ** np.arange(12), paired=True)
    >>> round(result.difference, 3), result.p_value < 0.01, result.low > 0.9
    (1.0, True, True)
    """
    if not len(a) or not len(b) or (paired and len(a) != len(b)):
        raise ShapeError(f"b: expected {len(a)} values, one for each of a, and at least one; got {len(b)}.")
    rng = np.random.default_rng(0) if rng is None else rng
    a, b = a.astype(np.float64), b.astype(np.float64)
    difference = float(b.mean() - a.mean())
    null, boot = np.empty(PERMUTATIONS), np.empty(PERMUTATIONS)
    for start in range(0, PERMUTATIONS, _BLOCK):
        part = slice(start, min(start + _BLOCK, PERMUTATIONS))
        size = part.stop - part.start
        if paired:
            null[part] = rng.choice([-1.0, 1.0], (size, len(a))) @ (b - a) / len(a)
            boot[part] = _resampled_means(b - a, size, rng)
        else:
            joined = rng.permuted(np.tile(np.concatenate([a, b]), (size, 1)), axis=1)
            null[part] = joined[:, len(a) :].mean(axis=1) - joined[:, : len(a)].mean(axis=1)
            boot[part] = _resampled_means(b, size, rng) - _resampled_means(a, size, rng)
    p_value = (1 + int((np.abs(null) >= abs(difference) - _ROUNDING).sum())) / (1 + PERMUTATIONS)
    low, high = np.quantile(boot, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return TestedDifference(difference, low, high, p_value)


def _resampled_means(values: Array, count: int, rng: np.random.Generator) -> Array:
    return np.asarray(values[rng.integers(0, len(values), (count, len(values)))].mean(axis=1))


def holm(p_values: Array) -> Array:
    """p-values corrected for their number: Holm, Scandinavian Journal of Statistics 6 (1979), 65–70.

    Parameters
    ----------
    p_values : ndarray of shape (K,)

    Returns
    -------
    ndarray of shape (K,)

    Examples
    --------
    >>> import numpy as np
    >>> holm(np.array([0.03, 0.01, 0.5]))
    array([0.06, 0.03, 0.5 ])
    """
    order = np.argsort(p_values, kind="stable")
    scaled = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    corrected = np.empty_like(scaled)
    corrected[order] = np.minimum(1, scaled)
    return corrected


def sign_flip_test(differences: Array, *, permutations: int = 999, rng: np.random.Generator | None = None) -> Array:
    r"""Two-sided tests of whether paired differences have a mean of zero, in many places at once.

    Each replicate's differences change their sign together, in all places; a place's statistic is compared with the
    largest of all places, which corrects for their number whatever their dependence:

    .. math:: t_j = \frac{|\sum_k d_{kj}|}{\sqrt{\sum_k d_{kj}^2}}, \qquad
              p_j = \frac{1 + \#\{\max_i t^*_i \ge t_j\}}{1 + P}

    Source: Westfall & Young, "Resampling-Based Multiple Testing" (1993); for maps, Nichols & Holmes, Human Brain
    Mapping 15 (2002), 1–25.

    Parameters
    ----------
    differences : ndarray of shape (K, J)
        Of K replicates, such as heads, in J places, such as cells of a matrix.
    permutations : int
        P, random ones.
    rng : Generator, optional
        By default a new one of seed 0.

    Returns
    -------
    ndarray of shape (J,)
        Corrected p-values; 1 where all differences are zero.

    Examples
    --------
    >>> import numpy as np
    >>> differences = np.random.default_rng(0).normal(size=(20, 50)) + 3.0 * (np.arange(50) == 7)
    >>> np.flatnonzero(sign_flip_test(differences) <= 0.05)
    array([7])
    """
    rng = np.random.default_rng(0) if rng is None else rng
    size = np.sqrt((differences.astype(np.float64) ** 2).sum(axis=0))
    scaled = np.divide(differences, size, out=np.zeros(differences.shape), where=size > 0)
    observed = np.abs(scaled.sum(axis=0))
    largest = np.empty(permutations)
    for start in range(0, permutations, _BLOCK):
        signs = rng.choice([-1.0, 1.0], (min(_BLOCK, permutations - start), len(scaled)))
        largest[start : start + len(signs)] = np.abs(signs @ scaled).max(axis=1, initial=0)
    exceeding = permutations - np.searchsorted(np.sort(largest), observed - _ROUNDING * len(scaled))
    return np.where(size > 0, (1 + exceeding) / (1 + permutations), 1.0)
