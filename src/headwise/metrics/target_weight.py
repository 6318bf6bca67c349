r"""Weight that queries put on given keys, compared with chance: the same rows with their visible keys permuted.

Letters: H heads, N queries, M keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headwise.shapes import Array, BoolArray, IntArray, bind


class TargetWeight(NamedTuple):
    """Mean weight on the targets, its chance level, and a bound of the probability to exceed it by chance."""

    weight: Array  # (H,)
    chance: float  # the value of an even spread over the visible keys
    p_value: Array  # (H,): an upper bound


@dataclass(frozen=True, eq=False)
class Rows:
    """Attention weights of one layer with the moments of their rows, which all tests of it share."""

    weights: Array  # (H, N, M)
    visible: BoolArray  # (N, M)
    counts: IntArray  # (N,): how many keys each query sees
    # (H, N): sum, sum of squares and maximum of each row
    total: Array
    square: Array
    peak: Array

    @classmethod
    def of(cls, weights: Array, visible: BoolArray | None = None) -> Rows:
        """The rows of weights (H, N, M), of which only `visible` (N, M) keys can have weight; all by default."""
        _, n, m = weights.shape
        visible = np.ones((n, m), bool) if visible is None else visible
        bind(f"{n} {m}", visible=visible)
        total = weights.sum(axis=-1, dtype=np.float64)
        square = np.einsum("hnm,hnm->hn", weights, weights, dtype=np.float64)
        return cls(weights, visible, visible.sum(axis=1), total, square, weights.max(axis=-1, initial=0))


def target_weight(rows: Rows, targets: BoolArray) -> TargetWeight:
    r"""Mean weight on the targets of each query, and how probable it is that chance gives as much.

    .. math:: s = \frac1{|Q|} \sum_{n \in Q} \sum_{m \in T_n} A_{nm}, \qquad
              c = \frac1{|Q|} \sum_{n \in Q} \frac{|T_n|}{V_n}

    over the queries Q that have targets and see other keys too; V is the number of keys that a query sees. Chance is
    a random permutation of each row's visible keys, under which s is a mean of independent bounded numbers with known
    variances, and Bennett's inequality bounds the tail of the sum over queries:

    .. math:: P(|Q| (s - c) \geq t) \leq \exp\left(-\frac{v}{b^2} \, h\left(\frac{b t}{v}\right)\right), \qquad
              h(u) = (1 + u) \ln (1 + u) - u, \qquad v = \sum_n \mathrm{var}_n

    with b the largest possible excess of one query over its chance.

    Source: Bennett, JASA 57 (1962), 33–45; the statistic is that of Clark et al., arXiv 1906.04341 (2019), section 3.

    `targets` (N, M): targets that a query does not see do not count.
    With no query that has a choice, weight and chance are 0 and the p-value is 1.

    Examples
    --------
    A head in which each of 20 tokens attends to the one before it:

    >>> previous = np.eye(20, k=-1, dtype=bool)
    >>> result = target_weight(Rows.of(np.where(previous, 0.9, 0.1 / 19)[None]), previous)
    >>> result.weight.round(2), round(result.chance, 2), bool(result.p_value < 1e-6)
    (array([0.9]), 0.05, True)
    """
    targets = targets & rows.visible
    k = targets.sum(axis=1)
    is_valid = (k > 0) & (k < rows.counts)
    heads = len(rows.weights)
    if not is_valid.any():
        return TargetWeight(np.zeros(heads), 0.0, np.ones(heads))
    k, v = k[is_valid], rows.counts[is_valid]
    on_targets = np.einsum("hnm,nm->hn", rows.weights[:, is_valid], targets[is_valid].astype(rows.weights.dtype))
    total, square, peak = rows.total[:, is_valid], rows.square[:, is_valid], rows.peak[:, is_valid]
    mean = total / v
    variance = np.maximum(square / v - mean**2, 0) * k * (v - k) / np.maximum(v - 1, 1)
    expected = k * mean
    excess = (on_targets - expected).sum(axis=1)
    bound = (np.minimum(k * peak, total) - expected).max(axis=1)
    weight = np.asarray(on_targets.mean(axis=1, dtype=np.float64))
    return TargetWeight(weight, float((k / v).mean()), bennett(excess, variance.sum(axis=1), bound))


def bennett(excess: Array, variance: Array, bound: Array) -> Array:
    """Bound of the probability that a sum of independent terms exceeds its expectation by `excess`.

    Of terms that exceed their expectations by at most `bound` and have together this `variance`.
    """
    t, b = np.maximum(excess, 0), np.maximum(bound, 0)
    possible = (b > 0) & (t > 1e-9 * b) & (variance > 1e-12 * t**2)
    u = np.divide(b * t, variance, out=np.zeros_like(t), where=possible)
    rate = np.divide(variance, b**2, out=np.zeros_like(t), where=possible)
    return np.asarray(np.exp(-rate * ((1 + u) * np.log1p(u) - u)))
