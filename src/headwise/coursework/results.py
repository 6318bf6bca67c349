"""The coursework: multi-head self-attention on one set of arrays, swapped inputs, and why the head counts differ.

Every number that the report states about it is computed here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from headwise.attention import AttentionResult, attention, multi_head_attention
from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, IntArray

__all__ = ["Coursework", "EquivarianceErrors", "HeadRun", "LogitDecomposition", "coursework", "max_relative_difference"]

_ROUNDINGS = 1e3  # of the last bit, that may add up
_ALL_PERMUTATIONS = 720  # up to 6 tokens every permutation is run; beyond that, as many random ones


class EquivarianceErrors(NamedTuple):
    """What should be zero: the largest deviations over all permutations P that were run, each as a share of the largest
    entry.

    Attributes
    ----------
    projections : float
        |Q(PX) − P Q(X)|, and the same for keys and values.
    logits : float
        |L(PX) − P L(X) Pᵀ|.
    weights : float
        |A(PX) − P A(X) Pᵀ|.
    output : float
        |SA(PX) − P SA(X)|.
    """

    projections: float
    logits: float
    weights: float
    output: float


@dataclass(frozen=True)
class HeadRun:
    """One number of heads: as given, with two inputs swapped, and with the inputs in every order.

    Attributes
    ----------
    heads : int
    given, swapped : Attended
        Output (N, D') and weights (H, N, N), for the inputs as given and with two of them swapped.
    moved : Moved
        How far each step of the proof of equivariance is from holding.
    causal, positions : float
        The largest |SA(PX) − P SA(X)|, as a share of the largest entry, with a causal mask, and with a vector added to
        each position: what breaks it.
    leak : float
        The largest change of an output coordinate that the last head does not own, when that head's rows of Wq and Wk
        are drawn anew, as a share of the largest entry; zero if no coordinate is another head's.
    """

    heads: int
    given: AttentionResult
    swapped: AttentionResult
    moved: EquivarianceErrors
    causal: float
    positions: float
    leak: float


class LogitDecomposition(NamedTuple):
    """How the logits of one head are shared out to H of them.

    Attributes
    ----------
    whole : ndarray of shape (N, N)
        Q Kᵀ of a single head, without its scale.
    each : ndarray of shape (H, N, N)
        Q_h K_hᵀ, without their scale.
    products : float
        The largest deviation of the single head's weights from the product of the heads' weights to the power 1/√H,
        each row divided by its sum.
    """

    whole: Array
    each: Array
    products: float

    @property
    def deviation(self) -> float:
        """How far the heads' logits are from adding up to the single head's, as a share of the largest."""
        return max_relative_difference(self.each.sum(axis=0), self.whole)


@dataclass(frozen=True)
class Coursework:
    """Multi-head self-attention with several numbers of heads on the same arrays.

    Attributes
    ----------
    arrays : dict
        X, Wq, Wk, Wv, and Wo and biases if they were given.
    swap : (int, int)
        The two inputs that change places.
    runs : tuple of HeadRun
    permutations : int
        How many were run; all N! of them if N is at most 6.
    shares : Shares
        Of the run with the most heads.
    rounding : float
        A share below which a deviation is rounding: a relative error in a logit ℓ is ℓ times as large in its weight.
    """

    arrays: dict[str, Array]
    swap: tuple[int, int]
    runs: tuple[HeadRun, ...]
    permutations: int
    shares: LogitDecomposition
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
    """Run everything the coursework asks for.

    Parameters
    ----------
    arrays : mapping
        X (N, D), Wq, Wk, Wv, and Wo, bq, bk, bv, bo if wanted.
    heads : sequence of int
        Each divides the rows of the matrices.
    swap : (int, int)
        Two inputs, counted from 0.
    seed : int
        For the permutations, where there are too many to run all, for the positions that break equivariance, and for
        the rows that a head is given anew.

    Returns
    -------
    Coursework

    Raises
    ------
    ShapeError
        If the arrays do not fit one another, X is a batch or a single token, or a head count divides nothing.
    DataError
        If `swap` does not name two inputs.

    Examples
    --------
    >>> from headwise.data.array_files import coursework_arrays
    >>> study = coursework(coursework_arrays())
    >>> study.permutations, study.runs[1].moved.output < 1e-14
    (120, True)
    """
    arrays = {name: np.asarray(array, np.float64) for name, array in arrays.items()}
    x = arrays["X"]
    if x.ndim != 2:
        raise ShapeError(f"X: expected one set of tokens (N, D); got {x.shape}.")
    n = len(x)
    if n < 2:
        raise ShapeError(f"X: expected two tokens or more, since two are to change places; got {x.shape}.")
    if not (0 <= swap[0] < n and 0 <= swap[1] < n and swap[0] != swap[1]):
        raise DataError(f"swap: expected two different inputs from 0 to {n - 1}; got {swap[0]} and {swap[1]}.")
    rng = np.random.default_rng([seed, 120])
    orders = list(_orders(n, rng))
    positions = rng.normal(size=x.shape)
    runs = tuple(_run(arrays, h, swap, orders, positions, np.random.default_rng([seed, h])) for h in heads)
    shares = _shares(arrays, max(heads))
    steepest = max(1.0, float(np.abs(shares.each).max()), float(np.abs(shares.whole).max()))
    return Coursework(
        arrays=arrays,
        swap=swap,
        runs=runs,
        permutations=len(orders),
        shares=shares,
        rounding=_ROUNDINGS * float(np.finfo(np.float64).eps) * steepest,
    )


def max_relative_difference(a: Array, b: Array) -> float:
    """The largest difference of two arrays, as a share of the largest entry of either; zero if there are none.

    Examples
    --------
    >>> max_relative_difference(np.array([1.0, 4.0]), np.array([1.0, 5.0]))
    0.2
    """
    largest = max(float(np.abs(each).max(initial=0)) for each in (a, b))
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
    rest: dict[str, Any] = {name: array for name, array in arrays.items() if name != "X"}

    def attend(tokens: Array, **other: Array) -> AttentionResult:
        return multi_head_attention(tokens, **{**rest, **other}, heads=heads)

    def deviation(function: Any) -> float:
        """Of function(PX) from P function(X), the largest."""
        plain = function(x)
        return max(max_relative_difference(function(x[order]), plain[order]) for order in orders)

    given = attend(x)  # refuses arrays that do not fit
    exchanged = np.arange(len(x))
    exchanged[list(swap)] = exchanged[list(reversed(swap))]
    return HeadRun(
        heads,
        given,
        attend(x[exchanged]),
        _moved(arrays, heads, orders),
        deviation(lambda tokens: _causal(tokens, arrays, heads)),
        deviation(lambda tokens: attend(tokens + positions).output),
        _leak(arrays, heads, rng),
    )


def _moved(arrays: Mapping[str, Array], heads: int, orders: list[IntArray]) -> EquivarianceErrors:
    """Each quantity of SA(PX) beside that of SA(X), permuted."""
    x = arrays["X"]
    rest: dict[str, Any] = {name: array for name, array in arrays.items() if name != "X"}

    def steps(tokens: Array) -> tuple[Array, ...]:
        q, k, v = _projected(tokens, arrays, heads)
        found = multi_head_attention(tokens, **rest, heads=heads)
        return np.concatenate([q, k, v], axis=-1), q @ k.mT, found.weights, found.output

    def permuted(found: tuple[Array, ...], p: IntArray) -> tuple[Array, ...]:
        projections, logits, weights, output = found
        return projections[:, p], logits[:, p][..., p], weights[:, p][..., p], output[p]

    plain = steps(x)
    found = [
        [max_relative_difference(a, b) for a, b in zip(steps(x[p]), permuted(plain, p), strict=True)] for p in orders
    ]
    return EquivarianceErrors(*(max(column) for column in zip(*found, strict=True)))


def _projected(tokens: Array, arrays: Mapping[str, Array], heads: int) -> tuple[Array, Array, Array]:
    """Queries, keys and values by head: (H, N, d) each."""
    found = (tokens @ arrays[f"W{name}"].T + arrays.get(f"b{name}", 0) for name in "qkv")
    q, k, v = (np.stack(np.split(each, heads, axis=1)) for each in found)
    return q, k, v


def _causal(tokens: Array, arrays: Mapping[str, Array], heads: int) -> Array:
    """(N, D'): as multi-head attention, but each output sees only its own input and those before it."""
    side_by_side = np.concatenate(list(attention(*_projected(tokens, arrays, heads), causal=True)), axis=-1)
    final = arrays["Wo"].T if "Wo" in arrays else np.eye(side_by_side.shape[-1])
    output: Array = side_by_side @ final + arrays.get("bo", 0)
    return output


def _leak(arrays: Mapping[str, Array], heads: int, rng: np.random.Generator) -> float:
    """What new queries and keys of the last head change in coordinates that other heads own, before any Wo."""
    own = len(arrays["Wv"]) // heads
    before: dict[str, Any] = {name: arrays[name] for name in ("X", "Wq", "Wk", "Wv")}
    after = {name: array.copy() for name, array in before.items()}
    for name in ("Wq", "Wk"):
        rows = len(after[name]) // heads
        after[name][-rows:] = rng.normal(size=after[name][-rows:].shape)
    old, new = (multi_head_attention(**each, heads=heads).output for each in (before, after))
    return max_relative_difference(new[:, :-own], old[:, :-own]) if heads > 1 else 0.0


def _shares(arrays: Mapping[str, Array], heads: int) -> LogitDecomposition:
    x = arrays["X"]
    rest: dict[str, Any] = {name: array for name, array in arrays.items() if name != "X"}
    (q, k, _), (q_h, k_h, _) = _projected(x, arrays, 1), _projected(x, arrays, heads)
    single = multi_head_attention(x, **rest, heads=1).weights[0]
    scores = q_h @ k_h.mT
    # by logarithms, since a product of weights may be smaller than any number there is
    product = softmax(log_softmax(scores / np.sqrt(q_h.shape[-1]), axis=-1).sum(axis=0) / np.sqrt(heads), axis=-1)
    return LogitDecomposition((q @ k.mT)[0], scores, float(np.abs(product - single).max()))


def _orders(n: int, rng: np.random.Generator) -> Iterator[IntArray]:
    if math.factorial(n) <= _ALL_PERMUTATIONS:
        yield from (np.array(order) for order in itertools.permutations(range(n)))
    else:
        yield from (rng.permutation(n) for _ in range(_ALL_PERMUTATIONS))
