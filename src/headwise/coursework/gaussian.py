"""Least squares and maximum likelihood estimates of the correlation of a Gaussian, from random samples.

(x, y) is Gaussian with mean zero, unit variances and correlation c; the figure has the estimates by sample size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from headwise.document import Step
from headwise.figures import new_figure
from headwise.figures.colors import MARK, PALE_ACCENT
from headwise.shapes import Array

_95 = 1.96  # standard deviations on either side of the mean that contain 95% of a Gaussian
CORRELATIONS = (-0.5, 0.0, 0.6, 0.9)
SIZES = (10, 30, 100, 300, 1000, 3000)


@dataclass(frozen=True)
class MaskedGaussian:
    """Each coordinate of a Gaussian predicted from all the others."""

    precision: Array  # (d, d): inverse of the covariance that the data were drawn from
    learned: Array  # (d, d): the precision computed from the weights and residual variances of the regressions alone
    samples: int

    @property
    def max_error(self) -> float:
        """Maximum absolute error, divided by the largest entry of the precision."""
        return float(np.abs(self.learned - self.precision).max() / np.abs(self.precision).max())


@dataclass(frozen=True)
class Gaussian:
    """The derivation, and the estimates from samples."""

    steps: dict[str, tuple[Step, ...]]  # by the part of the derivation
    # the values of c, and the sample sizes n
    correlations: tuple[float, ...]
    sizes: tuple[int, ...]
    runs: int  # samples drawn for each
    # (len(correlations), len(sizes), runs): estimates of c from each sample
    least_squares: Array
    likelihood: Array
    masked: MaskedGaussian

    def ratio(self, estimates: Array, predicted: Array) -> Array:
        """Variance over the runs divided by the predicted variance: (len(correlations), len(sizes))."""
        return np.asarray(estimates.var(axis=-1, ddof=1) / predicted)

    @property
    def predicted_least_squares(self) -> Array:
        """(1 − c²) / (n − 2), exact for n > 2."""
        c, n = np.array(self.correlations)[:, None], np.array(self.sizes)
        return np.asarray((1 - c**2) / (n - 2))

    @property
    def predicted_likelihood(self) -> Array:
        """(1 − c²)² / ((1 + c²) n), for large n."""
        c, n = np.array(self.correlations)[:, None], np.array(self.sizes)
        return np.asarray((1 - c**2) ** 2 / ((1 + c**2) * n))


def gaussian(*, runs: int = 400, seed: int = 0) -> Gaussian:
    """Derive, sample and estimate.

    `runs`: samples for each correlation and size.
    """
    from headwise.coursework.gaussian_derivation import derivation  # SymPy takes long to import

    rng = np.random.default_rng([seed, 2])
    shape = (len(CORRELATIONS), len(SIZES), runs)
    least_squares, likelihood = np.empty(shape), np.empty(shape)
    for i, c in enumerate(CORRELATIONS):
        for j, n in enumerate(SIZES):
            x = rng.standard_normal((runs, n))
            y = c * x + np.sqrt(1 - c**2) * rng.standard_normal((runs, n))
            xx, xy, yy = ((a * b).mean(axis=1) for a, b in ((x, x), (x, y), (y, y)))
            least_squares[i, j] = xy / xx
            likelihood[i, j] = [maximum_likelihood(*moments) for moments in zip(xx, xy, yy, strict=True)]
    return Gaussian(derivation(), CORRELATIONS, SIZES, runs, least_squares, likelihood, _masked(rng, samples=20_000))


def maximum_likelihood(xx: float, xy: float, yy: float) -> float:
    """The maximum-likelihood estimate of c from the sample's mean squares and products.

    It is the root in (−1, 1) of c³ − xy c² + (xx + yy − 1) c − xy that has the largest likelihood.

    Examples
    --------
    >>> round(maximum_likelihood(1.0, 0.5, 1.0), 6)
    0.5
    """
    roots = np.roots([1, -xy, xx + yy - 1, -xy])
    inside = roots.real[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < 1)]
    fit = -0.5 * np.log(1 - inside**2) - (xx - 2 * inside * xy + yy) / (2 * (1 - inside**2))
    return float(inside[fit.argmax()])


def _masked(rng: np.random.Generator, samples: int, d: int = 5) -> MaskedGaussian:
    """Sample a Gaussian of d coordinates, predict each from the others, and compute the precision."""
    mixing = rng.normal(size=(d, d)) / np.sqrt(d) + np.eye(d)
    covariance = mixing @ mixing.T
    x = rng.multivariate_normal(np.zeros(d), covariance, size=samples)
    learned = np.empty((d, d))
    for i in range(d):
        others = np.delete(np.arange(d), i)
        weights, *_ = np.linalg.lstsq(x[:, others], x[:, i], rcond=None)
        residual = (x[:, i] - x[:, others] @ weights).var()
        learned[i, i] = 1 / residual  # w_ij = −Λ_ij / Λ_ii, residual variance 1 / Λ_ii
        learned[i, others] = -weights / residual
    return MaskedGaussian(np.linalg.inv(covariance), learned, samples)


def draw_estimates(
    correlations: Array, sizes: Array, least_squares: Array, likelihood: Array, deviations: tuple[Array, Array]
) -> Figure:
    """The interval with 95% of the estimates, for two estimators, and the predicted interval.

    Estimates are (C, S, runs), of each correlation (C,) from samples of each size (S,), predicted deviations (C, S).
    """
    with new_figure(7.2, 2.5) as figure:
        grid = figure.subplots(1, len(correlations), sharex=True)
        for i, (axes, c) in enumerate(zip(np.atleast_1d(grid), correlations, strict=True)):
            axes.axhline(0, color="#555555", linewidth=0.5)
            pairs = ((least_squares, PALE_ACCENT, "least squares", 0.93), (likelihood, MARK, "likelihood", 1.07))
            for (estimates, color, name, shift), deviation in zip(pairs, deviations, strict=True):
                axes.fill_between(sizes, -_95 * deviation[i], _95 * deviation[i], color=color, alpha=0.18, linewidth=0)
                low, middle, high = np.percentile(estimates[i] - c, [2.5, 50, 97.5], axis=-1)
                errors = [middle - low, high - middle]
                axes.errorbar(sizes * shift, middle, errors, fmt=".", color=color, ms=3, linewidth=1, label=name)
            axes.set(xscale="log", xlabel="sample size n", title=f"c = {c:g}".replace("-", "−"), ylim=(-1, 1))
        np.atleast_1d(grid)[0].set_ylabel("estimate − c")
        for axes in np.atleast_1d(grid)[1:]:
            axes.set_yticklabels([])
        np.atleast_1d(grid)[0].legend(loc="lower right")
    return figure
