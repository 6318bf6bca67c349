"""The derivation that least squares on a Gaussian learns the correlation, with every formula checked by SymPy.

(x, y) is jointly Gaussian with mean zero, unit variances and correlation c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from headwise.document import Step


def derivation() -> dict[str, tuple[Step, ...]]:
    """The steps by part; each is checked when this is called."""
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

    yield check_step(
        "Write y = c x + √(1 − c²) ε with ε independent of x; then", "E (y - w x)^2", mean((y - w * x) ** 2), loss
    )
    slope = sp.diff(loss, w)
    yield check_step("The derivative of this", r"\frac{d}{dw} E (y - w x)^2", slope, 2 * (w - c))
    yield check_step("vanishes at a single point,", "w^*", sp.solve(slope, w)[0], c)
    yield check_step(
        "which is a minimum, since the second derivative is",
        r"\frac{d^2}{dw^2} E (y - w x)^2",
        sp.diff(loss, w, 2),
        sp.Integer(2),
    )
    yield check_step(
        "The least loss is the variance that x does not explain:", "E (y - c x)^2", loss.subs(w, c), 1 - c**2
    )
    yield check_step(
        "Predicting x from y has the same loss, and so the same answer: the other direction learns the same c.",
        "E (x - w y)^2",
        mean((x - w * y) ** 2),
        loss,
    )


def _sample() -> Iterator[Step]:
    """The estimator, its mean, its variance, and that it is consistent."""
    c, w, n = _c, _w, sp.Symbol("n", positive=True)
    xx, xy, yy = sp.symbols("s_{xx} s_{xy} s_{yy}", real=True)
    squares = yy - 2 * w * xy + w**2 * xx
    yield check_step(
        "From n independent pairs, with the mean squares and products of the sample, the derivative of the mean of the "
        "squared errors vanishes at",
        r"\hat w = \frac{\sum x y}{\sum x^2}",
        sp.solve(sp.diff(squares, w), w)[0],
        xy / xx,
    )
    yield check_step(
        "and nowhere else. This is a minimum, since the second derivative is positive (the x are not all zero):",
        r"\frac{d^2}{dw^2} \left( s_{yy} - 2 w s_{xy} + w^2 s_{xx} \right)",
        sp.diff(squares, w, 2),
        2 * xx,
    )
    t, u = sp.symbols(r"\sum\!x^2 \sum\!x\varepsilon", real=True)
    yield check_step(
        "Substitute y = c x + √(1 − c²) ε. Given the x, the term added to c has mean zero, since the ε have mean zero "
        "and are independent of the x. So ŵ has the mean c wherever its mean exists, which is for n ≥ 2:",
        r"\hat w",
        sp.expand((c * t + sp.sqrt(1 - c**2) * u) / t),
        c + sp.sqrt(1 - c**2) * u / t,
    )
    # E[1/T] for T chi-squared: ∫ t^(n/2 − 2) e^(−t/2) dt over 2^(n/2) Γ(n/2), and ∫ t^(a−1) e^(−t/2) dt = 2^a Γ(a)
    a = n / 2 - 1
    inverse = 2**a * sp.gamma(a) / (2 ** (n / 2) * sp.gamma(n / 2))
    yield check_step(
        "Given the x, its variance is (1 − c²) / Σ x². Σ x² is chi-squared with n degrees of freedom, so for n > 2",
        r"\mathrm{Var}\, \hat w = (1 - c^2)\, E\left[\frac{1}{\sum x^2}\right]",
        (1 - c**2) * sp.gammasimp(inverse),
        (1 - c**2) / (n - 2),
    )
    yield check_step(
        "The variance goes to zero like (1 − c²)/n. So ŵ, whose mean is c, converges to c in mean square, and hence in "
        "probability: it is consistent.",
        r"\lim_{n \to \infty} n\, \mathrm{Var}\, \hat w",
        sp.limit(n * (1 - c**2) / (n - 2), n, sp.oo),
        1 - c**2,
    )


def _likelihood() -> Iterator[Step]:
    """What the likeliest c uses in addition, and by how much its variance is smaller."""
    c = _c
    xx, xy, yy = sp.symbols("s_{xx} s_{xy} s_{yy}", real=True)
    log_likelihood = -sp.log(1 - c**2) / 2 - (xx - 2 * c * xy + yy) / (2 * (1 - c**2))
    cubic = c**3 - xy * c**2 + (xx + yy - 1) * c - xy
    yield check_step(
        "The likelihood uses more: the variances are known to be one. With the sample's mean squares and products, the "
        "derivative of its logarithm, for each observation, is as follows; of its roots between −1 and 1 the likeliest "
        "is the estimate.",
        r"\frac{d\ell}{dc}",
        sp.simplify(sp.diff(log_likelihood, c)),
        -cubic / (1 - c**2) ** 2,
    )
    information = sp.simplify(-sp.diff(log_likelihood, c, 2).subs({xx: 1, yy: 1, xy: c}))
    yield check_step(
        "The mean of minus the second derivative, the Fisher information of one observation, is",
        "I(c)",
        information,
        (1 + c**2) / (1 - c**2) ** 2,
    )
    yield check_step(
        "By the theorem on maximum likelihood, whose conditions hold for |c| < 1, the likeliest c has for large n the "
        "variance 1 / (n I(c)). That is this share of the variance of least squares:",
        r"\frac{1 / I(c)}{1 - c^2}",
        sp.simplify(1 / information / (1 - c**2)),
        (1 - c**2) / (1 + c**2),
    )


def _edges() -> Iterator[Step]:
    """|c| = 1, |c| > 1, and other variances."""
    c, w = _c, _w
    low, high = sp.Matrix([[1, c], [c, 1]]).eigenvals()
    yield check_step(
        "The covariance matrix has the eigenvalues 1 − c and 1 + c. At |c| = 1 one of them vanishes: y is x or −x, and "
        "the least loss is zero. For |c| > 1 one is negative, and so would be the least loss, which is impossible for "
        "a mean of squares: there is no such pair.",
        r"\lambda_1 \lambda_2",
        sp.expand(low * high),
        _loss.subs(w, c),
    )
    sx, sy = sp.symbols("sigma_x sigma_y", positive=True)
    general = sy**2 - 2 * w * c * sx * sy + w**2 * sx**2
    yield check_step(
        "Unit variance was used when the mean squares of x and y were set to one. Without it the same regression "
        "learns another number,",
        "w^*",
        sp.solve(sp.diff(general, w), w)[0],
        c * sy / sx,
    )
    back = sy**2 * w**2 - 2 * w * c * sx * sy + sx**2
    yield check_step(
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
    yield check_step(
        "In more dimensions, a coordinate predicted from all others learns a row of the precision matrix Λ, the "
        "inverse of the covariance. That ΛΣ is the identity says of the first row, for every other coordinate j (here "
        "with the second of three),",
        r"\sum_{k} \Lambda_{1k} \Sigma_{kj}",
        sp.simplify((precision[0, :] * three[:, 1])[0]),
        sp.Integer(0),
    )
    yield check_step(
        "Divided by −Λ₁₁, these are the normal equations for predicting the first coordinate from the others, in any "
        "number of dimensions. So the weights are the row up to a factor; of the second coordinate it is",
        r"w_{12} = -\Lambda_{12} / \Lambda_{11}",
        sp.simplify(weights[0]),
        sp.simplify(-precision[0, 1] / precision[0, 0]),
    )
    residual = 1 - (three[0, 1:] * weights)[0]
    yield check_step(
        "and the least loss, by the same identity for j = 1, gives the factor:",
        r"E (x_1 - w_{12} x_2 - w_{13} x_3)^2 = 1 / \Lambda_{11}",
        sp.simplify(residual),
        sp.simplify(1 / precision[0, 0]),
    )


def check_step(words: str, left: str, value: Any, expected: Any) -> Step:
    """A step that holds if SymPy finds the value of the left side equal to the expected one."""
    holds = sp.simplify(value - expected) == 0
    return Step(words, f"{left} = {sp.latex(expected)}", bool(holds))
