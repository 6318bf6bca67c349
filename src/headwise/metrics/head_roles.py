"""Roles of attention heads: what pattern a head's weights have, if they have one beyond chance.

Letters: R roles, L layers, H heads, N queries, M keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from headwise.metrics.concentration import effective_number, normalize_rows
from headwise.metrics.faithfulness import spearman
from headwise.metrics.roles import ROLES
from headwise.metrics.target_weight import Rows, TargetWeight, bennett, target_weight
from headwise.shapes import Array, BoolArray, IntArray, bind
from headwise.thresholds import THRESHOLDS

_LOCAL = {1: 2, 2: 1}  # tokens on either side in a sequence, patches in an image
_MAX_OFFSET = {1: 16, 2: 3}
_MIN_SHARE_OF_QUERIES = 0.5  # that must see a key for it to be a sink
_CERTAIN = 0.9  # a score that is enough where chance is high
_NARROWER = 0.8  # a narrower role goes first if it has at least this fraction of the wider one's excess over chance


@dataclass(frozen=True, eq=False)
class TokenRoles:
    """What is known of the tokens, from which the roles' targets follow.

    Attributes
    ----------
    cells : ndarray of int of shape (M, 1) or (M, 2)
        Place of each key in the sequence, or its row and column in the grid of an image.
    prefix : ndarray of bool of shape (M,)
        Keys without a place in the input; in a text (one column of cells) they have a place in the sequence.
    ids : ndarray of int of shape (M,)
        Equal for equal tokens; empty if tokens cannot be compared.
    delimiters : ndarray of bool of shape (M,)
        Separators and punctuation; empty if there are none.
    segments : ndarray of int of shape (M,)
        0 and 1 for the tokens of two parts of the input, −1 for others; empty if it has no parts.
    """

    cells: IntArray
    prefix: BoolArray
    ids: IntArray
    delimiters: BoolArray
    segments: IntArray

    @cached_property
    def offset_targets(self) -> list[tuple[IntArray, BoolArray]]:
        """Offsets that no other role names, with the targets (M, M) at each, if enough queries have one."""
        width = self.cells.shape[1]
        placed = ~self.prefix if self.is_grid else np.ones(len(self.prefix), bool)
        reach = min(_MAX_OFFSET[width], int(np.ptp(self.cells[placed], axis=0).max(initial=0)))
        axis = np.arange(-reach, reach + 1)
        offsets = np.stack(np.meshgrid(*[axis] * width, indexing="ij"), axis=-1).reshape(-1, width)
        named = np.abs(offsets).max(axis=1) <= (1 if width == 1 else 0)
        steps = self.cells[None] - self.cells[:, None]  # (M, M, 1 or 2), from query to key
        both = placed[:, None] & placed
        tested = [(offset, (steps == offset).all(axis=-1) & both) for offset in offsets[~named]]
        least = _MIN_SHARE_OF_QUERIES * placed.sum()
        return [(offset, targets) for offset, targets in tested if targets.any(axis=1).sum() >= least]

    @property
    def is_grid(self) -> bool:
        """Whether the tokens are patches of an image."""
        return int(self.cells.shape[1]) == 2


@dataclass(frozen=True, eq=False)
class HeadRoles:
    """The roles of all heads.

    Attributes
    ----------
    names : tuple of str
        The roles that were measured, keys of `ROLES`.
    scores : ndarray of shape (R, L, H)
    chance : ndarray of shape (R, L)
    p_values : ndarray of shape (R, L, H)
        Bounds of the probability of so large a score by chance (for alignment, approximations), not corrected
        for the number of tests.
    has : ndarray of bool of shape (R, L, H)
        Whether the score is at least the threshold and beyond chance, corrected for all heads and roles (Bonferroni).
    main : ndarray of int of shape (L, H)
        The index of each head's main role; −1 for none.
    sinks : ndarray of int of shape (L, H)
        The key that receives most.
    offsets : ndarray of int of shape (L, H, 1 or 2)
        The fixed offset with the largest weight.
    """

    names: tuple[str, ...]
    scores: Array
    chance: Array
    p_values: Array
    has: BoolArray
    main: IntArray
    sinks: IntArray
    offsets: IntArray

    @property
    def above_chance(self) -> BoolArray:
        """(L, H): heads with a role beyond chance; being uniform is none."""
        tested = [name != "uniform" for name in self.names]
        return np.asarray(self.has[tested].any(axis=0))

    def name(self, layer: int, head: int) -> str:
        """The main role of a head; empty for none."""
        return self.names[index] if (index := int(self.main[layer, head])) >= 0 else ""


def head_roles(
    weights: Array, tokens: TokenRoles | None = None, *, visible: BoolArray | None = None, probe: Array | None = None
) -> HeadRoles:
    r"""Measure each role of each head, and decide by a corrected test which roles it has.

    A head has a role if its score is at least the threshold ``role`` of `headwise.thresholds` and ``role_ratio`` times
    the chance level (or 0.9), and the probability of so much by chance is at most 5%, divided by the number of heads
    and roles tested. Scores on given keys are those of `target_weight`; the largest over keys or offsets is corrected
    for their number; aligned pairs are compared with a Poisson distribution of mean one, their number by chance, and in
    one direction, such as cross-attention, the rank correlation of queries and their keys with random orders.

    Parameters
    ----------
    weights : ndarray of shape (L, H, N, M)
    tokens : TokenRoles, optional
        By default a sequence of different tokens. With N different from M, only roles of single keys and the
        alignment of queries and keys are measured.
    visible : ndarray of bool of shape (N, M) or (L, N, M), optional
        Which keys each query may attend to, in every layer or by layer; all by default.
    probe : ndarray of shape (L, H, 2 R, 2 R), optional
        The model's weights for R random tokens that are repeated once, for induction.

    Examples
    --------
    >>> import numpy as np
    >>> previous = np.eye(20, k=-1) * 0.8 + 0.01
    >>> roles = head_roles((previous / previous.sum(axis=1, keepdims=True))[None, None])
    >>> roles.name(0, 0)
    'previous'
    """
    n, m = bind("L H N M", weights=weights)["N"], weights.shape[-1]
    tokens = _sequence(m) if tokens is None else tokens
    by_layer = np.broadcast_to(True if visible is None else visible, (len(weights), n, m))
    layers = [
        dict(_measure(Rows.of(layer, by_layer[i]), tokens, None if probe is None else probe[i]))
        for i, layer in enumerate(weights)
    ]
    names = tuple(name for name in ROLES if name in layers[0])
    stacked = {name: [layer[name] for layer in layers] for name in names}
    scores = np.array([[r.score.weight for r in stacked[name]] for name in names])
    p_values = np.array([[r.score.p_value for r in stacked[name]] for name in names])
    chance = np.array([[r.score.chance for r in stacked[name]] for name in names])
    has = _decide(names, scores, chance, p_values)
    offsets = stacked.get("offset")
    width = tokens.cells.shape[1]
    empty = np.zeros((len(weights), weights.shape[1], width), np.int64)
    return HeadRoles(
        names, scores, chance, p_values, has, _main_roles(has, scores, chance),
        np.array([r.choice for r in stacked["sink"]]),
        empty if offsets is None or n != m else np.array([r.choice for r in offsets]),
    )  # fmt: skip


class _Measured(NamedTuple):
    score: TargetWeight
    choice: IntArray  # the key or offset with the largest score


def _sequence(m: int) -> TokenRoles:
    none = np.zeros(0, np.int64)
    return TokenRoles(np.arange(m)[:, None], np.zeros(m, bool), none, none.astype(bool), none)


def _measure(rows: Rows, tokens: TokenRoles, probe: Array | None) -> Iterator[tuple[str, _Measured]]:
    """Each role of one layer."""
    _, n, m = rows.weights.shape
    nothing = np.zeros(0, np.int64)
    for name, targets in _targets(tokens, n, m).items():
        yield name, _Measured(target_weight(rows, targets), nothing)
    if n == m:
        yield "offset", _best_offset(rows, tokens)
        if (pair := _alignment(rows, tokens)) is not None:
            yield "alignment", _Measured(pair, nothing)
    else:
        yield "alignment", _Measured(_monotonic(rows.weights), nothing)
    sink = _sink(rows, np.ones(m, bool))
    yield "sink", sink
    ordinary = ~tokens.prefix & (np.arange(m) > 0)
    if tokens.delimiters.size:
        ordinary &= ~tokens.delimiters
    yield "outlier", _sink(rows, ordinary)
    if probe is not None:
        half = probe.shape[-1] // 2
        causal = np.tri(2 * half, dtype=bool)
        targets = np.eye(2 * half, k=1 - half, dtype=bool) & (np.arange(2 * half) >= half)[:, None]
        hidden = not np.triu(probe, 1).any()
        yield "induction", _Measured(target_weight(Rows.of(probe, causal if hidden else None), targets), nothing)
    yield "uniform", _Measured(_evenness(rows), nothing)


def _evenness(rows: Rows) -> TargetWeight:
    """Effective number of keys as a fraction of the visible ones, over queries with a choice; not tested."""
    heads = len(rows.weights)
    choice = rows.counts > 1
    effective = effective_number(normalize_rows(rows.weights[:, choice].astype(np.float64)))
    shares = (effective / rows.counts[choice]).mean(axis=1) if choice.any() else np.ones(heads)
    return TargetWeight(shares, 1.0, np.ones(heads))


def _targets(tokens: TokenRoles, n: int, m: int) -> dict[str, BoolArray]:
    """The targets (N, M) of the roles that have given ones."""
    targets = {}
    first = np.zeros((n, m), bool)
    first[int(n == m) :, 0] = True  # the first token's own weight says nothing
    targets["first"] = first
    if tokens.delimiters.size and tokens.delimiters.any():
        delimiter = np.broadcast_to(tokens.delimiters, (n, m)).copy()
        if n == m:
            np.fill_diagonal(delimiter, False)
        targets["delimiter"] = delimiter
    if n != m:
        return targets
    steps = tokens.cells[None] - tokens.cells[:, None]  # (N, M, 1 or 2), from query to key
    placed = np.ones(m, bool) if not tokens.is_grid else ~tokens.prefix
    both = placed[:, None] & placed
    targets["self"] = np.eye(m, dtype=bool) & both
    targets["local"] = (np.abs(steps).max(axis=-1) <= _LOCAL[tokens.cells.shape[1]]) & both
    if not tokens.is_grid:
        targets["previous"], targets["next"] = steps[..., 0] == -1, steps[..., 0] == 1
        if tokens.ids.size and len(np.unique(tokens.ids[~tokens.prefix])) < (~tokens.prefix).sum():
            same = (tokens.ids[:, None] == tokens.ids) & ~tokens.prefix
            targets["same"] = same & ~np.eye(m, dtype=bool)
    return targets


def _best_offset(rows: Rows, tokens: TokenRoles) -> _Measured:
    """The offset with the largest mean weight, of those that no other role names and enough queries have."""
    least = _MIN_SHARE_OF_QUERIES * len(rows.counts)
    tested = [(o, t) for o, t in tokens.offset_targets if (t & rows.visible).any(axis=1).sum() >= least]
    heads, width = len(rows.weights), tokens.cells.shape[1]
    if not tested:
        empty = TargetWeight(np.zeros(heads), 0.0, np.ones(heads))
        return _Measured(empty, np.zeros((heads, width), np.int64))
    results = [target_weight(rows, targets) for _, targets in tested]
    weight = np.array([r.weight for r in results])
    best = weight.argmax(axis=0)
    p_value = np.minimum(1, len(results) * np.array([r.p_value for r in results])[best, np.arange(heads)])
    chance = float(np.mean([r.chance for r in results]))
    offsets = np.array([offset for offset, _ in tested])
    return _Measured(TargetWeight(weight.max(axis=0), chance, p_value), offsets[best])


def _sink(rows: Rows, candidates: BoolArray) -> _Measured:
    """The key among the candidates that receives most weight from other queries."""
    h, n, m = rows.weights.shape
    counted = rows.visible.copy()
    if n == m:
        np.fill_diagonal(counted, False)
    candidates = candidates & (counted.sum(axis=0) >= max(2, _MIN_SHARE_OF_QUERIES * n))
    if not candidates.any():
        return _Measured(TargetWeight(np.zeros(h), 0.0, np.ones(h)), np.zeros(h, np.int64))
    num_queries = counted.sum(axis=0)
    received = np.einsum("hnm,nm->hm", rows.weights, counted.astype(rows.weights.dtype), dtype=np.float64)
    mean = np.where(candidates, received / np.maximum(num_queries, 1), -1)
    best = mean.argmax(axis=1)
    p_value = np.ones(h)
    inverse = 1 / np.maximum(rows.counts, 1)
    variance = np.maximum(rows.square * inverse - (rows.total * inverse) ** 2, 0)
    for head, key in enumerate(best.tolist()):
        queries = counted[:, key]
        expected = (rows.total[head] * inverse)[queries]
        bound = (rows.peak[head][queries] - expected).max()
        excess = received[head, key] - expected.sum()
        p = bennett(np.array([excess]), np.array([variance[head][queries].sum()]), np.array([bound]))
        p_value[head] = min(1.0, float(candidates.sum() * p[0]))
    chance = float(np.mean([inverse[counted[:, key]].mean() for key in np.flatnonzero(candidates)]))
    return _Measured(TargetWeight(mean.max(axis=1), chance, p_value), best)


def _alignment(rows: Rows, tokens: TokenRoles) -> TargetWeight | None:
    """Pairs of tokens of the two parts, each of which has its largest weight on the other part on its partner.

    In a causal model, in which only the second part attends to the first, how monotonic that is.
    """
    if not tokens.segments.size:
        return None
    first, second = (np.flatnonzero(tokens.segments == part) for part in (0, 1))
    if not len(first) or not len(second):
        return None
    forward = rows.weights[:, second][:, :, first]
    backward = rows.weights[:, first][:, :, second]
    if not rows.visible[np.ix_(first, second)].any():
        return _monotonic(forward)
    return _mutual(forward, backward)


def _mutual(forward: Array, backward: Array) -> TargetWeight:
    """Share of mutual arguments of the maximum of (H, B, A) and (H, A, B)."""
    _, b, a = forward.shape
    partner, back = forward.argmax(axis=2), backward.argmax(axis=2)
    pairs = (np.take_along_axis(back, partner, axis=1) == np.arange(b)).sum(axis=1)
    p_value = np.array([_poisson_tail(int(count)) for count in pairs])
    return TargetWeight(pairs / min(a, b), 1 / min(a, b), p_value)


def _monotonic(weights: Array) -> TargetWeight:
    """Rank correlation of the places of queries and of their largest weights (H, N, M).

    Of one direction, mutual arguments of the maximum are no evidence: many rows of random numbers have them.
    """
    n = weights.shape[1]
    places, largest = np.arange(n, dtype=np.float64), weights.argmax(axis=2).astype(np.float64)
    correlation = np.array([spearman(places, keys) for keys in largest])
    return TargetWeight(correlation, 0.0, np.array([_correlation_tail(float(r), n) for r in correlation]))


def _correlation_tail(r: float, n: int) -> float:
    """P(R ≥ r) of a rank correlation of n places in random order, by its approximation with Student's t."""
    if n < 4 or r <= 0:
        return 1.0
    x = np.linspace(r, 1, 2001)
    tail = float(np.trapezoid((1 - x**2) ** ((n - 4) / 2), x))
    total = math.sqrt(math.pi) * math.exp(math.lgamma(n / 2 - 1) - math.lgamma((n - 1) / 2))
    return max(tail / total, math.exp(-math.lgamma(n + 1)))  # at least that of the one order that is monotonic


def _poisson_tail(count: int) -> float:
    """P(K ≥ count) of a Poisson distribution of mean one."""
    terms = (math.exp(-1 - math.lgamma(k + 1)) for k in range(count, count + 60))
    return min(1.0, math.fsum(terms)) if count else 1.0


def _decide(names: Sequence[str], scores: Array, chance: Array, p_values: Array) -> BoolArray:
    tests = scores[0].size * sum(name != "uniform" for name in names)
    least = [THRESHOLDS["alignment" if name == "alignment" else "role"].value for name in names]
    level = np.maximum(np.array(least)[:, None], THRESHOLDS["role_ratio"].value * chance)
    enough = scores >= np.minimum(level, _CERTAIN)[..., None]
    has = enough & (p_values * tests <= 0.05)
    if "uniform" in names:
        index = names.index("uniform")
        has[index] = (scores[index] >= THRESHOLDS["near_uniform"].value) & ~has.any(axis=0)
    return np.asarray(has)


def _main_roles(has: BoolArray, scores: Array, chance: Array) -> IntArray:
    """The narrowest role among those with nearly the largest excess over chance; −1 without a role."""
    level = np.minimum(chance, 0.999)[..., None]
    excess = np.where(has, np.maximum((scores - level) / (1 - level), 1e-9), -1)
    near = has & (excess >= _NARROWER * excess.max(axis=0))
    return np.where(has.any(axis=0), near.argmax(axis=0), -1)
