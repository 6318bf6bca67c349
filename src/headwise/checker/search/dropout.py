"""Telling dropout from other noise: what is kept is the right number times one factor, and the rest is zero.

The output is an affine function of the weights that the values are mixed with. Where it is an invertible one, the
weights that a function really used can be solved for, whatever comes after them.
"""

from __future__ import annotations

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.probes import dropout_probes
from headwise.checker.reference.definition import STAGES, build, evaluate
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case, Result, Trace, configurable
from headwise.checker.search.mistakes import Explanation, Observation, explain
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

_ROUNDING = 1e-8
_BAND = list(STAGES)[list(STAGES).index("scale") : list(STAGES).index("divide") + 1]
_ON_WEIGHTS = {*_BAND, *(f"+{name}" for name in _BAND)}  # stages that make the weights and touch nothing else


def detect_dropout(convention: CallingConvention, rng: np.random.Generator, weights: bool = True) -> Explanation | None:
    """What explains the outputs, and the `weights` that come with them, besides dropout; None if nothing does."""
    first, second = (
        [Observation(p, convention.call(p.case)) for p in dropout_probes(convention.interface, rng)] for _ in range(2)
    )
    if first[0].response.output is None:
        return None
    solver = _Solver()

    def agrees(explanation: Explanation, call: Observation) -> bool:
        expected = explanation.answer(call.probe.case)
        if expected is None or (weights and not _weights_agree(call.response.weights, expected)):
            return False
        return _pair(explanation, expected, call, solver) is not None

    def share(call: Observation) -> float:
        """How much is zero that should not be."""
        expected = right.answer(call.probe.case)
        pair = None if expected is None else _pair(right, expected, call, solver)
        return 0.0 if pair is None else float(((np.abs(pair[0]) <= _ROUNDING) & (np.abs(pair[1]) > 1e-5)).mean())

    right, unexplained = explain(first, second, agrees, most=1, design=convention.design)
    if unexplained:
        return None
    shares = [share(a) for a in first + second if a.response.output is not None]
    return right if float(np.mean(shares)) > 0.01 else None


def _pair(explanation: Explanation, expected: Result, call: Observation, solver: _Solver) -> tuple[Array, Array] | None:
    """What the function used and what it should have, where the first is the second with dropout: weights or output."""
    got = call.response.output
    assert got is not None
    if got.shape != expected.output.shape or not (np.isfinite(got) == np.isfinite(expected.output)).all():
        return None
    if call.probe.name == "hidden-nan" or not np.isfinite(got).all():
        return np.ones(1), np.ones(1)  # NaN in the same places, and nothing to be seen through it
    if _is_dropout(got, expected.output):
        return got, expected.output
    right = _mixing_weights(explanation, call.probe.case)
    used = solver(explanation, right.shape, call)
    return (used, right) if used is not None and _is_dropout(used, right) else None


def _is_dropout(used: Array, right: Array) -> bool:
    """Zero, or right times a factor that makes up for the zeros (or leaves them)."""
    known = np.isfinite(used)
    if not known.any():
        return False
    used, right = used[known], right[known]
    large = np.abs(right) > 1e-2 * np.abs(right).max()
    retained = large & (np.abs(used) > _ROUNDING)
    if not retained.any():
        return False
    factor = float(np.median(used[retained] / right[retained]))
    left_in = np.abs(used) > abs(factor * right) / 2
    if not np.isfinite(factor) or np.abs(used - factor * right * left_in).max() > 1e-6 * np.abs(factor * right).max():
        return False
    makes_up = factor * float(retained.sum() / large.sum())
    return 0.55 < makes_up < 1.8 or abs(factor - 1) < 1e-6


def _mixing_weights(explanation: Explanation, case: Case) -> Array:
    """The weights with which the explanation mixes the values."""
    weights: list[Array] = []

    def note(t: Trace) -> None:
        weights.append(t.p)

    evaluate(case, build((explanation.habit, *explanation.changes, {"+clean": note})))
    return weights[0]


class _Solver:
    """Solves for the weights with which the values were mixed, once for all mistakes that only change the weights."""

    def __init__(self) -> None:
        self._solved: dict[tuple[int, ...], Array | None] = {}

    def __call__(self, explanation: Explanation, shape: tuple[int, ...], call: Observation) -> Array | None:
        """Return them, or None where the output does not determine them."""
        others = (c for c in (explanation.habit, *explanation.changes) if not _ON_WEIGHTS.issuperset(c))
        key = (id(call), *map(id, others))
        if key not in self._solved:
            assert call.response.output is not None
            self._solved[key] = _solved(explanation, call.probe.case, call.response.output, shape)
        return self._solved[key]


@configurable
def _put(t: Trace, p: Array) -> None:
    t.p = p


def _solved(explanation: Explanation, case: Case, output: Array, shape: tuple[int, ...]) -> Array | None:
    def with_weights(p: Array) -> Array:
        result = evaluate(case, build((explanation.habit, *explanation.changes, {"+clean": _put(p)})))
        assert result is not None
        return result.output.ravel()

    nothing = with_weights(np.zeros(shape))
    if nothing.size < np.prod(shape) or nothing.size != output.size or not np.isfinite(nothing).all():
        return None
    units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
    matrix = np.stack([with_weights(unit) - nothing for unit in units], axis=1)
    if not np.isfinite(matrix).all():
        return None
    felt = matrix.any(axis=0)  # weights of values that are zero are not
    solved, _, rank, _ = np.linalg.lstsq(matrix[:, felt], output.ravel() - nothing, rcond=1e-9)
    if rank < felt.sum() or np.abs(matrix[:, felt] @ solved + nothing - output.ravel()).max() > 1e-6:
        return None
    mask = np.full(felt.shape, np.nan)
    mask[felt] = solved
    return mask.reshape(shape)


def _weights_agree(got: Array | None, expected: Result) -> bool:
    """Returned weights may be those before dropout or after it."""
    if got is None:
        return True
    same = [w for w in expected.weights if w.shape == got.shape]
    return any(difference(got, w) < _ROUNDING or _is_dropout(got, w) for w in same)
