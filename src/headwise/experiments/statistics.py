"""Statistics of a few paired runs: Student's interval and an exact permutation test; of many inputs, by resampling.

Letters: B inputs, T tests or values, R draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from headwise.shapes import Array, bind

ALPHA = 0.05  # a difference is shown if the p of its test, corrected for multiple tests, is at most this
_RESAMPLES = 2000
_FLIPS = 50_000  # enough for p-values to stay significant after correction for some hundred tests
_BATCH = 5000


class Interval(NamedTuple):
    """A mean and its confidence interval; the ends are None for a single value."""

    mean: float
    low: float | None
    high: float | None

    def within(self, low: float, high: float) -> Interval:
        """The interval clipped to the range of possible values."""
        if self.low is None or self.high is None:
            return self
        return Interval(self.mean, max(low, self.low), min(high, self.high))

    def ends(self, form: str, scale: float = 1) -> str:
        """Both ends in a format such as ``"{:.2f}"``; empty for a single value."""
        if self.low is None or self.high is None:
            return ""
        return f"{form.format(scale * self.low)} to {form.format(scale * self.high)}"


def t_interval(values: Sequence[float] | Array, level: float = 0.95) -> Interval:
    r"""Student's interval for the mean of a normal population.

    .. math:: \bar x \pm t_{n-1} \, s / \sqrt n

    Examples
    --------
    >>> mean, low, high = t_interval([1.0, 2.0, 3.0])  # 2 ± 4.3027 / √3
    >>> round(low, 3), round(high, 3)
    (-0.484, 4.484)
    >>> t_interval([1.0])
    Interval(mean=1.0, low=None, high=None)
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, None, None)
    if np.ptp(values) == 0:  # SciPy gives NaN for a deviation of zero
        return Interval(mean, mean, mean)
    from scipy.stats import sem, t

    low, high = t.interval(level, len(values) - 1, mean, sem(values))
    return Interval(mean, float(low), float(high))


def sign_flip_test(differences: Sequence[int]) -> float:
    """The exact two-sided permutation test of paired differences, in whole numbers so that ties are exact.

    If neither of a pair is better, each difference could as well have the opposite sign: p is the share of all 2ⁿ
    choices of signs that give a sum at least as far from zero. With one difference of ±1 for every digit that only one
    of two models classifies correctly, this is McNemar's exact test.

    Examples
    --------
    >>> sign_flip_test([3, 1, 2])  # only +++ and −−− are as far from zero: 2 of 8
    0.25
    """
    sums = Counter({0: 1})
    for difference in filter(None, differences):  # a zero has no sign, and would only double all counts
        flipped: Counter[int] = Counter()
        for total, ways in sums.items():
            flipped[total + difference] += ways
            flipped[total - difference] += ways
        sums = flipped
    observed = abs(sum(differences))
    as_far: int = sum(ways for total, ways in sums.items() if abs(total) >= observed)
    return as_far / sum(sums.values())


def min_attainable_p(pairs: int) -> float:
    """The smallest p that `sign_flip_test` can give: 2¹⁻ⁿ, when all n differences have one sign."""
    return float(2.0 ** (1 - pairs))


def bootstrap(values: Array, rng: np.random.Generator) -> Array:
    """(B, ...) values -> (3, ...): mean over inputs, and the 95% percentile interval of the bootstrap.

    Source: Efron, "Bootstrap Methods: Another Look at the Jackknife" (1979).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> bootstrap(rng.normal(size=400), rng).round(1)  # 0 ± 1.96 / √400
    array([-0. , -0.1,  0.1])
    """
    means = np.tensordot(_resampled(len(values), rng), values, axes=1)
    return _bounds(values.mean(axis=0), means)


def bootstrap_crossed(values: Array, rng: np.random.Generator) -> Array:
    """(R, B, ...) values -> (3, ...): like `bootstrap`, over two crossed factors, draws and inputs.

    Source: Owen, "The Pigeonhole Bootstrap" (2007).
    """
    draws, inputs = (_resampled(count, rng) for count in values.shape[:2])
    means = np.einsum("sr,sb,rb...->s...", draws, inputs, values, optimize=True)
    return _bounds(values.mean(axis=(0, 1)), means)


def _resampled(count: int, rng: np.random.Generator) -> Array:
    """(resamples, count): the share of each item in each resample."""
    return np.asarray(rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES) / count)


def _bounds(mean: Array, means: Array) -> Array:
    return np.stack([mean, *np.percentile(means, [2.5, 97.5], axis=0)])


def sign_flip_tests(differences: Array, rng: np.random.Generator) -> Array:
    r"""The two-sided permutation test of paired differences, estimated from random signs.

    If neither of a pair is better, each difference could as well have the opposite sign:

    .. math:: p = \frac{1 + \#\{|\bar d^*| \ge |\bar d|\}}{1 + \text{draws}}

    Source: Phipson & Smyth, "Permutation P-values Should Never Be Zero" (2010), for the added ones.

    `differences` (B, T); returns (T,).

    Examples
    --------
    All eleven differences have one sign: 2 of 2¹¹ choices.

    >>> sign_flip_tests(np.ones((11, 1)), np.random.default_rng(0)).round(3)
    array([0.001])
    """
    bind("B T", differences=differences)
    observed = np.abs(differences.sum(axis=0))
    slack = 1e-9 * np.abs(differences).sum(axis=0)  # for rounding: an equal sum counts as equally far
    as_far = np.zeros(differences.shape[1], np.int64)
    for _ in range(_FLIPS // _BATCH):
        signs = rng.choice(np.array([-1.0, 1.0]), (_BATCH, len(differences)))
        as_far += (np.abs(signs @ differences) >= observed - slack).sum(axis=0)
    return np.asarray((1 + as_far) / (1 + _FLIPS))
