"""The results of the coursework: multi-head self-attention on one set of arrays, permuted inputs, numbers of heads.

Every number that the report states about them is computed here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from headwise.attention import AttentionResult
from headwise.coursework.steps import causal_multi_head, multi_head, project_heads
from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, IntArray

_ROUNDINGS = 1e3  # tolerance for accumulated rounding, in units of the last bit
_ALL_PERMUTATIONS = 720  # up to 6 tokens all permutations are run; for more, as many random ones


class EquivarianceErrors(NamedTuple):
    """Errors of permutation equivariance: the maximum over all permutations P that were run, divided by the largest
    entry. All should be zero.
    """

    projections: float  # |Q(PX) − P Q(X)|, and the same for keys and values
    logits: float  # |L(PX) − P L(X) Pᵀ|
    weights: float  # |A(PX) − P A(X) Pᵀ|
    output: float  # |SA(PX) − P SA(X)|


@dataclass(frozen=True)
class HeadRun:
    """The outputs for one number of heads, with two inputs swapped, and with the inputs in every order."""

    heads: int
    # output (N, D') and weights (H, N, N), for the original inputs and with two of them swapped
    result: AttentionResult
    swapped: AttentionResult
    equivariance: EquivarianceErrors  # the error of each step of the proof of equivariance
    # the maximum of |SA(PX) − P SA(X)|, divided by the largest entry, with a causal mask, and with position vectors
    # added to the inputs, which both break equivariance
    causal: float
    positions: float
    # the largest change of the other heads' output coordinates when the last head's rows of Wq and Wk are replaced by
    # random ones, divided by the largest entry; zero for one head
    leak: float


class LogitDecomposition(NamedTuple):
    """The logits of a single head as a sum over H heads."""

    single_head: Array  # (N, N): Q Kᵀ of a single head, unscaled
    by_head: Array  # (H, N, N): Q_h K_hᵀ, unscaled
    # the maximum difference between the single head's weights and the product of the heads' weights to the power
    # 1/√H, each row normalized
    products: float

    @property
    def error(self) -> float:
        """The relative error of the sum of the heads' logits."""
        return max_relative_difference(self.by_head.sum(axis=0), self.single_head)


@dataclass(frozen=True)
class Coursework:
    """Multi-head self-attention with several numbers of heads on the same arrays."""

    arrays: dict[str, Array]  # X, Wq, Wk, Wv, and optionally Wo and biases
    swap: tuple[int, int]  # the two inputs that are swapped
    runs: tuple[HeadRun, ...]
    permutations: int  # how many were run; all N! of them if N is at most 6
    decomposition: LogitDecomposition  # for the largest number of heads
    # a relative difference below this is rounding: a relative error in a logit ℓ is ℓ times as large in its weight
    rounding: float

    @property
    def tokens(self) -> int:
        """N."""
        return int(self.arrays["X"].shape[0])

    @property
    def width(self) -> int:
        """D, the rows of Wq."""
        return int(self.arrays["Wq"].shape[0])


def coursework(
    arrays: Mapping[str, Array], *, heads: Sequence[int] = (1, 3), swap: tuple[int, int] = (0, 1), seed: int = 0
) -> Coursework:
    """Compute everything that the exercise requires.

    `arrays`: X (N, D), Wq, Wk, Wv, and optionally Wo, bq, bk, bv, bo.
    `heads`: each divides the rows of the matrices.
    `swap`: two inputs, counted from 0.
    `seed`: for the permutations if there are too many to run all, the position vectors, and the random rows of a head.
    Raises ShapeError if the arrays do not fit one another, X is a batch or a single token, or a head count divides
    nothing; DataError if `swap` does not name two inputs.
    """
    arrays = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    x = arrays["X"]
    if x.ndim != 2:
        raise ShapeError(f"X: expected one set of tokens (N, D); got {x.shape}.")
    n = len(x)
    if n < 2:
        raise ShapeError(f"X: expected two tokens or more, since two are swapped; got {x.shape}.")
    if not (0 <= swap[0] < n and 0 <= swap[1] < n and swap[0] != swap[1]):
        raise DataError(f"swap: expected two different inputs from 0 to {n - 1}; got {swap[0]} and {swap[1]}.")
    rng = np.random.default_rng([seed, 120])
    orders = list(_orders(n, rng))
    positions = rng.normal(size=x.shape)
    runs = tuple(_run(arrays, h, swap, orders, positions, np.random.default_rng([seed, h])) for h in heads)
    decomposition = _decompose(arrays, max(heads))
    largest = max(1.0, *(float(np.abs(logits).max()) for logits in (decomposition.by_head, decomposition.single_head)))
    rounding = _ROUNDINGS * float(np.finfo(np.float64).eps) * largest
    return Coursework(arrays, swap, runs, len(orders), decomposition, rounding)


def max_relative_difference(a: Array, b: Array) -> float:
    """The maximum difference of two arrays, divided by the largest entry of either; zero for empty arrays.

    Examples
    --------
    >>> max_relative_difference(np.array([1.0, 4.0]), np.array([1.0, 5.0]))
    0.2
    """
    largest = max(float(np.abs(array).max(initial=0)) for array in (a, b))
    return float(np.abs(a - b).max()) / largest if largest else 0.0


def _run(
    arrays: Mapping[str, Array],
    heads: int,
    swap: tuple[int, int],
    orders: list[IntArray],
    positions: Array,
    rng: np.random.Generator,
) -> HeadRun:
    x = arrays["X"]

    def equivariance_error(function: Any) -> float:
        """The maximum error of function(PX) = P function(X)."""
        plain = function(x)
        return max(max_relative_difference(function(x[order]), plain[order]) for order in orders)

    result = multi_head(x, arrays, heads)  # raises ShapeError for arrays that do not fit
    swapped = np.arange(len(x))
    swapped[list(swap)] = swapped[list(reversed(swap))]
    equivariance = _equivariance(arrays, heads, orders)
    causal = equivariance_error(lambda tokens: causal_multi_head(tokens, arrays, heads).output)
    placed = equivariance_error(lambda tokens: multi_head(tokens + positions, arrays, heads).output)
    moved = multi_head(x[swapped], arrays, heads)
    return HeadRun(heads, result, moved, equivariance, causal, placed, _leak(arrays, heads, rng))


def _equivariance(arrays: Mapping[str, Array], heads: int, orders: list[IntArray]) -> EquivarianceErrors:
    """Compare each quantity of SA(PX) with the permuted one of SA(X)."""
    x = arrays["X"]

    def steps(tokens: Array) -> tuple[Array, ...]:
        q, k, v = project_heads(tokens, arrays, heads)
        result = multi_head(tokens, arrays, heads)
        return np.concatenate([q, k, v], axis=-1), q @ k.mT, result.weights, result.output

    def permuted(quantities: tuple[Array, ...], p: IntArray) -> tuple[Array, ...]:
        projections, logits, weights, output = quantities
        return projections[:, p], logits[:, p][..., p], weights[:, p][..., p], output[p]

    plain = steps(x)
    errors = [
        [max_relative_difference(a, b) for a, b in zip(steps(x[p]), permuted(plain, p), strict=True)] for p in orders
    ]
    return EquivarianceErrors(*(max(column) for column in zip(*errors, strict=True)))


def _leak(arrays: Mapping[str, Array], heads: int, rng: np.random.Generator) -> float:
    """The effect of new queries and keys of the last head on the other heads' coordinates, before any Wo."""
    width = len(arrays["Wv"]) // heads
    before = {name: arrays[name] for name in ("X", "Wq", "Wk", "Wv")}
    after = {name: array.copy() for name, array in before.items()}
    for name in ("Wq", "Wk"):
        rows = len(after[name]) // heads
        after[name][-rows:] = rng.normal(size=after[name][-rows:].shape)
    old, new = (multi_head(arrays["X"], matrices, heads).output for matrices in (before, after))
    return max_relative_difference(new[:, :-width], old[:, :-width]) if heads > 1 else 0.0


def _decompose(arrays: Mapping[str, Array], heads: int) -> LogitDecomposition:
    from scipy.special import log_softmax, softmax

    x = arrays["X"]
    (q, k, _), (q_h, k_h, _) = project_heads(x, arrays, 1), project_heads(x, arrays, heads)
    single = multi_head(x, arrays, 1).weights[0]
    scores = q_h @ k_h.mT
    # by logarithms, since a product of weights can underflow
    product = softmax(log_softmax(scores / np.sqrt(q_h.shape[-1]), axis=-1).sum(axis=0) / np.sqrt(heads), axis=-1)
    return LogitDecomposition((q @ k.mT)[0], scores, float(np.abs(product - single).max()))


def _orders(n: int, rng: np.random.Generator) -> Iterator[IntArray]:
    if math.factorial(n) <= _ALL_PERMUTATIONS:
        yield from (np.array(order) for order in itertools.permutations(range(n)))
    else:
        yield from (rng.permutation(n) for _ in range(_ALL_PERMUTATIONS))
