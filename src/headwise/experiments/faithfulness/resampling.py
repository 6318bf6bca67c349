"""Resampling over many inputs: bootstrap intervals and sign-flip tests.

Letters: B inputs, T tests or values, R draws.
"""

from __future__ import annotations

import numpy as np

from headwise.shapes import Array, bind

_RESAMPLES = 2000
_FLIPS = 50_000  # enough for p-values to stay significant after correction for some hundred tests
_BATCH = 5000


def bootstrap(values: Array, rng: np.random.Generator) -> Array:
    """(B, ...) values -> (3, ...): mean over inputs, and the 95% percentile interval of the bootstrap.

    Source: Efron, "Bootstrap Methods: Another Look at the Jackknife" (1979).

    Examples
    --------
    >>> import numpy as np
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

    >>> import numpy as np
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
