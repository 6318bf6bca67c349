"""The coursework: multi-head self-attention on one set of arrays, swapped inputs, and why the head counts differ.

Every number that the report states about it is computed here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headwise.attention import Attended, attention, multi_head_attention
from headwise.errors import DataError, ShapeError
from headwise.shapes import Array, IntArray

__all__ = ["Coursework", "HeadRun", "coursework"]

_ALL_PERMUTATIONS = 720  # up to 6 tokens every permutation is run; beyond that, as many random ones


@dataclass(frozen=True)
class HeadRun:
    """One number of heads: as given, with two inputs swapped, and with the inputs in every order.

    Attributes
    ----------
    heads : int
    given, swapped : Attended
        Output (N, D') and weights (H, N, N), for the inputs as given and with two of them swapped.
    largest_deviation : float
        The largest |SA(PX) − P SA(X)| over all entries and the permutations P that were run.
    """

    heads: int
    given: Attended
    swapped: Attended
    largest_deviation: float


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
    logits : ndarray of shape (N, N)
        Q Kᵀ of a single head, without its scale.
    logits_by_head : ndarray of shape (H, N, N)
        Q_h K_hᵀ of the run with the most heads, without their scale.
    causal_deviation, position_deviation : float
        The same largest deviation with a causal mask, and with a vector added to each position: what breaks it.
    """

    arrays: dict[str, Array]
    swap: tuple[int, int]
    runs: tuple[HeadRun, ...]
    permutations: int
    logits: Array
    logits_by_head: Array
    causal_deviation: float
    position_deviation: float

    @property
    def tokens(self) -> int:
        """N."""
        return int(self.arrays["X"].shape[0])

    @property
    def width(self) -> int:
        """D, the rows of Wq."""
        return int(self.arrays["Wq"].shape[0])

    @property
    def logits_deviation(self) -> float:
        """How far the heads' logits are from adding up to the single head's."""
        return float(np.abs(self.logits_by_head.sum(axis=0) - self.logits).max())


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
        For the permutations, where there are too many to run all, and for the positions that break equivariance.

    Returns
    -------
    Coursework

    Raises
    ------
    ShapeError
        If the arrays do not fit one another, X is a batch, or a head count divides nothing.
    DataError
        If `swap` does not name two inputs.

    Examples
    --------
    >>> from headwise.data.arrays import coursework_arrays
    >>> study = coursework(coursework_arrays())
    >>> study.permutations, study.runs[1].largest_deviation < 1e-14
    (120, True)
    """
    x = np.asarray(arrays["X"])
    if x.ndim != 2:
        raise ShapeError(f"X: expected one set of tokens (N, D); got {x.shape}.")
    n = len(x)
    if not (0 <= swap[0] < n and 0 <= swap[1] < n and swap[0] != swap[1]):
        raise DataError(f"swap: expected two different inputs from 0 to {n - 1}; got {swap[0]} and {swap[1]}.")
    exchanged = np.arange(n)
    exchanged[list(swap)] = exchanged[list(reversed(swap))]
    rest: dict[str, Any] = {name: array for name, array in arrays.items() if name != "X"}
    rng = np.random.default_rng([seed, 120])
    orders = list(_orders(n, rng))

    def attend(tokens: Array, h: int) -> Attended:
        return multi_head_attention(tokens, **rest, heads=h)

    runs = []
    for h in heads:
        given = attend(x, h)
        moved = (np.abs(attend(x[order], h).output - given.output[order]).max() for order in orders)
        runs.append(HeadRun(h, given, attend(x[exchanged], h), float(max(moved))))

    q = x @ np.asarray(arrays["Wq"]).T + arrays.get("bq", 0)
    k = x @ np.asarray(arrays["Wk"]).T + arrays.get("bk", 0)
    v = x @ np.asarray(arrays["Wv"]).T + arrays.get("bv", 0)
    most = max(heads)
    positions = rng.normal(size=x.shape)

    def causal(order: IntArray) -> Array:
        return np.asarray(attention(q[order][None], k[order][None], v[order][None], causal=True)[0])

    plain = np.arange(n)
    with_positions = attend(x + positions, 1).output
    return Coursework(
        arrays={name: np.asarray(array) for name, array in arrays.items()},
        swap=swap,
        runs=tuple(runs),
        permutations=len(orders),
        logits=q @ k.T,
        logits_by_head=np.stack([a @ b.T for a, b in zip(np.split(q, most, 1), np.split(k, most, 1), strict=True)]),
        causal_deviation=max(float(np.abs(causal(o) - causal(plain)[o]).max()) for o in orders),
        position_deviation=max(
            float(np.abs(attend(x[o] + positions, 1).output - with_positions[o]).max()) for o in orders
        ),
    )


def _orders(n: int, rng: np.random.Generator) -> Iterator[IntArray]:
    if math.factorial(n) <= _ALL_PERMUTATIONS:
        yield from (np.array(order) for order in itertools.permutations(range(n)))
    else:
        yield from (rng.permutation(n) for _ in range(_ALL_PERMUTATIONS))
