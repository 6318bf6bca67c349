"""Predicting y from x by least squares learns the correlation: the derivation checked by SymPy, and the experiment.

(x, y) is Gaussian with mean zero, unit variances and correlation c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from headwise.shapes import Array

__all__ = ["Gaussian", "Masked", "Step", "derivation", "gaussian", "likeliest"]

CORRELATIONS = (-0.5, 0.0, 0.6, 0.9)
SIZES = (10, 30, 100, 300, 1000, 3000)


@dataclass(frozen=True)
class Step:
    """One step of the derivation.

    Attributes
    ----------
    words : str
        Why it is taken.
    tex : str
        What it says, in LaTeX.
    holds : bool
        Whether SymPy finds both sides equal.
    """

    words: str
    tex: str
    holds: bool


@dataclass(frozen=True)
class Masked:
    """Each coordinate of a Gaussian predicted from all the others.

    Attributes
    ----------
    precision : ndarray of shape (d, d)
        Inverse of the covariance that the data were drawn from.
    learned : ndarray of shape (d, d)
        The precision put together from the regressions' weights and residual variances alone.
    samples : int
    """

    precision: Array
    learned: Array
    samples: int

    @property
    def largest_deviation(self) -> float:
        """In units of the largest entry of the precision."""
        return float(np.abs(self.learned - self.precision).max() / np.abs(self.precision).max())


@dataclass(frozen=True)
class Gaussian:
    """The experiment beside the derivation.

    Attributes
    ----------
    steps : dict of str to tuple of Step
        By the part of the derivation.
    correlations, sizes : tuple
        The values of c, and the sample sizes n.
    runs : int
        Samples drawn for each.
    least_squares, likelihood : ndarray of shape (len(correlations), len(sizes), runs)
        Estimates of c from each sample.
    masked : Masked
    """

    steps: dict[str, tuple[Step, ...]]
    correlations: tuple[float, ...]
    sizes: tuple[int, ...]
    runs: int
    least_squares: Array
    likelihood: Array
    masked: Masked

    def ratio(self, estimates: Array, predicted: Array) -> Array:
        """Variance over the runs, over the variance predicted: (len(correlations), len(sizes))."""
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
    """Derive, draw, estimate.

    Parameters
    ----------
    runs : int
        Samples for each correlation and size.
    seed : int

    Returns
    -------
    Gaussian
    """
    rng = np.random.default_rng([seed, 2])
    shape = (len(CORRELATIONS), len(SIZES), runs)
    least_squares, likelihood = np.empty(shape), np.empty(shape)
    for i, c in enumerate(CORRELATIONS):
        for j, n in enumerate(SIZES):
            x = rng.standard_normal((runs, n))
            y = c * x + np.sqrt(1 - c**2) * rng.standard_normal((runs, n))
            xx, xy, yy = ((a * b).mean(axis=1) for a, b in ((x, x), (x, y), (y, y)))
            least_squares[i, j] = xy / xx
            likelihood[i, j] = [likeliest(*moments) for moments in zip(xx, xy, yy, strict=True)]
    return Gaussian(derivation(), CORRELATIONS, SIZES, runs, least_squares, likelihood, _masked(rng, samples=20_000))


def likeliest(xx: float, xy: float, yy: float) -> float:
    """The maximum-likelihood estimate of c from the sample's mean squares and products.

    It is the root in (−1, 1) of c³ − xy c² + (xx + yy − 1) c − xy that has the largest likelihood.

    Examples
    --------
    >>> round(likeliest(1.0, 0.5, 1.0), 6)
    0.5
    """
    roots = np.roots([1, -xy, xx + yy - 1, -xy])
    inside = roots.real[(np.abs(roots.imag) < 1e-9) & (np.abs(roots.real) < 1)]
    fit = -0.5 * np.log(1 - inside**2) - (xx - 2 * inside * xy + yy) / (2 * (1 - inside**2))
    return float(inside[fit.argmax()])


def derivation() -> dict[str, tuple[Step, ...]]:
    """Every step by the part it belongs to, each checked when it is made."""
    parts = {
        "population": _population,
        "sample": _sample,
        "likelihood": _likelihood,
        "edges": _edges,
        "dimensions": _dimensions,
    }
    return {name: tuple(steps()) for name, steps in parts.items()}


_c, _w = sp.symbols("c w", real=True)
_loss = 1 - 2 * _w * _c + _w**2


def _population() -> Iterator[Step]:
    """The loss, its one minimum, its value there, and the other direction."""
    c, w, loss = _c, _w, _loss
    x, e = sp.symbols("x varepsilon", real=True)
    y = c * x + sp.sqrt(1 - c**2) * e  # x and ε independent, with mean zero and variance one

    def mean(expression: Any) -> Any:
        return sp.expand(expression).subs({x * e: 0}).subs({x**2: 1, e**2: 1})

    yield _step(
        "Write y = c x + √(1 − c²) ε with ε independent of x; then", "E (y - w x)^2", mean((y - w * x) ** 2), loss
    )
    slope = sp.diff(loss, w)
    yield _step("The derivative of this", r"\frac{d}{dw} E (y - w x)^2", slope, 2 * (w - c))
    yield _step("vanishes at one place alone,", "w^*", sp.solve(slope, w)[0], c)
    yield _step(
        "which is a minimum, since the second derivative is",
        r"\frac{d^2}{dw^2} E (y - w x)^2",
        sp.diff(loss, w, 2),
        sp.Integer(2),
    )
    yield _step("The least loss is the variance that x does not explain:", "E (y - c x)^2", loss.subs(w, c), 1 - c**2)
    yield _step(
        "Predicting x from y has the same loss, and so the same answer: the other direction learns the same c.",
        "E (x - w y)^2",
        mean((x - w * y) ** 2),
        loss,
    )


def _sample() -> Iterator[Step]:
    """The estimator, its mean, its variance, and that it converges."""
    c, w, n = _c, _w, sp.Symbol("n", positive=True)
    xx, xy, yy = sp.symbols("s_{xx} s_{xy} s_{yy}", real=True)
    squares = yy - 2 * w * xy + w**2 * xx
    yield _step(
        "From n pairs, with the mean squares and products of the sample, the mean of the squared errors is least at",
        r"\hat w = \frac{\sum x y}{\sum x^2}",
        sp.solve(sp.diff(squares, w), w)[0],
        xy / xx,
    )
    t, u = sp.symbols(r"\sum\!x^2 \sum\!x\varepsilon", real=True)
    yield _step(
        "Put in y = c x + √(1 − c²) ε. What is added to c has mean zero whatever the x are, since ε has, so ŵ has the "
        "mean c:",
        r"\hat w",
        sp.expand((c * t + sp.sqrt(1 - c**2) * u) / t),
        c + sp.sqrt(1 - c**2) * u / t,
    )
    # E[1/T] for T chi-squared: ∫ t^(n/2 − 2) e^(−t/2) dt over 2^(n/2) Γ(n/2), and ∫ t^(a−1) e^(−t/2) dt = 2^a Γ(a)
    a = n / 2 - 1
    inverse = 2**a * sp.gamma(a) / (2 ** (n / 2) * sp.gamma(n / 2))
    yield _step(
        "Given the x, its variance is (1 − c²) / Σ x². Σ x² is chi-squared with n degrees of freedom, so for n > 2",
        r"\mathrm{Var}\, \hat w = (1 - c^2)\, E\left[\frac{1}{\sum x^2}\right]",
        (1 - c**2) * sp.gammasimp(inverse),
        (1 - c**2) / (n - 2),
    )
    yield _step(
        "The variance goes to zero like (1 − c²)/n, and ŵ, whose mean is c, converges to c:",
        r"\lim_{n \to \infty} n\, \mathrm{Var}\, \hat w",
        sp.limit(n * (1 - c**2) / (n - 2), n, sp.oo),
        1 - c**2,
    )


def _likelihood() -> Iterator[Step]:
    """What the likeliest c knows more, and by how much its variance is smaller."""
    c = _c
    xx, xy, yy = sp.symbols("s_{xx} s_{xy} s_{yy}", real=True)
    log_likelihood = -sp.log(1 - c**2) / 2 - (xx - 2 * c * xy + yy) / (2 * (1 - c**2))
    cubic = c**3 - xy * c**2 + (xx + yy - 1) * c - xy
    yield _step(
        "The likelihood uses more: the variances are known to be one. With the sample's mean squares and products, the "
        "derivative of its logarithm, for each observation, is",
        r"\frac{d\ell}{dc}",
        sp.simplify(sp.diff(log_likelihood, c)),
        -cubic / (1 - c**2) ** 2,
    )
    information = sp.simplify(-sp.diff(log_likelihood, c, 2).subs({xx: 1, yy: 1, xy: c}))
    yield _step(
        "and its expected curvature, the Fisher information of one observation, is",
        "I(c)",
        information,
        (1 + c**2) / (1 - c**2) ** 2,
    )
    yield _step(
        "so that the likeliest c has, for large n, this share of the variance of least squares:",
        r"\frac{1 / I(c)}{1 - c^2}",
        sp.simplify(1 / information / (1 - c**2)),
        (1 - c**2) / (1 + c**2),
    )


def _edges() -> Iterator[Step]:
    """|c| = 1, |c| > 1, and other variances."""
    c, w = _c, _w
    low, high = sp.Matrix([[1, c], [c, 1]]).eigenvals()
    yield _step(
        "The covariance matrix has the eigenvalues 1 − c and 1 + c. At |c| = 1 one of them vanishes: y is x or −x, and "
        "the least loss is zero. For |c| > 1 one is negative, and the least loss would be, which no mean of squares "
        "can be: there is no such pair.",
        r"\lambda_1 \lambda_2",
        sp.expand(low * high),
        _loss.subs(w, c),
    )
    sx, sy = sp.symbols("sigma_x sigma_y", positive=True)
    general = sy**2 - 2 * w * c * sx * sy + w**2 * sx**2
    yield _step(
        "Unit variance was used where the squares of x and of y were given the mean one. Without it the same "
        "regression learns another number,",
        "w^*",
        sp.solve(sp.diff(general, w), w)[0],
        c * sy / sx,
    )
    back = sy**2 * w**2 - 2 * w * c * sx * sy + sx**2
    yield _step(
        "and the other direction its counterpart, so that only the product of both is free of the units:",
        r"w^*_{y|x}\, w^*_{x|y}",
        sp.solve(sp.diff(general, w), w)[0] * sp.solve(sp.diff(back, w), w)[0],
        c**2,
    )


def _dimensions() -> Iterator[Step]:
    """A row of the precision matrix from predicting one coordinate, in three dimensions."""
    c12, c13, c23 = sp.symbols("c_{12} c_{13} c_{23}", real=True)
    three = sp.Matrix([[1, c12, c13], [c12, 1, c23], [c13, c23, 1]])
    precision = three.inv()
    weights = three[1:, 1:].inv() * three[1:, 0]
    yield _step(
        "In more dimensions, a coordinate predicted from all others learns a row of the precision matrix Λ, the "
        "inverse of the covariance. In three, the weight of the second coordinate in predicting the first is",
        r"w_{12} = -\Lambda_{12} / \Lambda_{11}",
        sp.simplify(weights[0]),
        sp.simplify(-precision[0, 1] / precision[0, 0]),
    )
    residual = 1 - (three[0, 1:] * weights)[0]
    yield _step(
        "and the least loss gives what is missing of the row:",
        r"E (x_1 - w_{12} x_2 - w_{13} x_3)^2 = 1 / \Lambda_{11}",
        sp.simplify(residual),
        sp.simplify(1 / precision[0, 0]),
    )


def _step(words: str, left: str, found: Any, expected: Any) -> Step:
    holds = sp.simplify(found - expected) == 0
    return Step(words, f"{left} = {sp.latex(expected)}", bool(holds))


def _masked(rng: np.random.Generator, samples: int, d: int = 5) -> Masked:
    """Draw from a Gaussian of d coordinates, predict each from the others, and put the precision together."""
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
    return Masked(np.linalg.inv(covariance), learned, samples)
