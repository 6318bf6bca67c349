"""Telling dropout from other noise: what is kept is the right number times one factor, and the rest is zero.

The output is an affine function of the weights that the values are mixed with. Where it is an invertible one, the
weights that a function really used can be solved for, whatever comes after them. They only say what is kept, and by how
much it is multiplied, since in float32 they have the error of the output many times: the output that the definition
gives with exactly that has to be the function's own to rounding.
"""

from __future__ import annotations

from dataclasses import replace

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.probes import Probe, dropout_probes
from headwise.checker.reference.definition import STAGES, build, evaluate
from headwise.checker.reference.state import Case, Change, Trace, configurable
from headwise.checker.search.agreement import fits
from headwise.checker.search.mistakes import Explanation, Observation, explain
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray

# for outputs of a type: what is less is zero, and how far what is solved for may be from what is right
_ZERO = {"float64": 1e-8, "float32": 1e-4}
_ERROR = {"float64": 1e-6, "float32": 1e-2}
_BAND = list(STAGES)[list(STAGES).index("scale") : list(STAGES).index("divide") + 1]
_ON_WEIGHTS = {*_BAND, *(f"+{name}" for name in _BAND)}  # stages that make the weights and touch nothing else


def detect_dropout(
    convention: CallingConvention, rng: np.random.Generator, in_type: str, weights: bool = True
) -> Explanation | None:
    """What explains the outputs, and the `weights` that come with them, besides dropout; None if nothing does.

    `in_type`: the type of the outputs, whatever that of the arrays that hold them.
    """
    first, second = (
        [_observe(convention, p, weights) for p in dropout_probes(convention.interface, rng)] for _ in range(2)
    )
    if first[0].response.output is None:
        return None
    solver = _Solver(in_type)

    def agrees(explanation: Explanation, call: Observation) -> bool:
        return _dropped(explanation, call, solver) is not None

    def share(call: Observation) -> float:
        """How much is zero that should not be."""
        dropped = _dropped(right, call, solver)
        return 0.0 if dropped is None else float(dropped.mean())

    right, unexplained = explain(first, second, agrees, most=1, design=convention.design)
    if unexplained:
        return None
    shares = [share(a) for a in first + second if a.response.output is not None]
    return right if float(np.mean(shares)) > 0.01 else None


def _observe(convention: CallingConvention, probe: Probe, weights: bool) -> Observation:
    response = convention.call(probe.case)
    return Observation(probe, response if weights else replace(response, weights=None))


def _dropped(explanation: Explanation, call: Observation, solver: _Solver) -> BoolArray | None:
    """Which outputs, or weights, are zero that should not be, if the function differs by dropout alone; else None."""
    expected, got = explanation.answer(call.probe.case), call.response.output
    assert got is not None
    if expected is None or got.shape != expected.output.shape:
        return None
    if not (np.isfinite(got) == np.isfinite(expected.output)).all():
        return None
    if call.probe.name == "hidden-nan" or not np.isfinite(got).all():
        return np.zeros(1, bool)  # NaN in the same places, and nothing to be seen through it
    right = _mixing_weights(explanation, call.probe.case)
    for used, whole, place in (
        (got, expected.output, "+finish"),
        (solver(explanation, right.shape, call), right, "+clean"),
    ):
        factors = None if used is None else _factors(used, whole, solver.in_type)
        if factors is not None and fits(solver.in_type)(_with(explanation, {place: _STAGES[place](factors)}), call):
            return np.asarray((factors == 0) & (np.abs(whole) > max(1e-5, 2 * _ZERO[solver.in_type])))
    return None


def _factors(used: Array, right: Array, in_type: str) -> Array | None:
    """Zero where numbers are dropped, and else one factor that makes up for these (or leaves them); None if neither."""
    known = np.isfinite(used)
    if not known.any():
        return None
    used, right = np.where(known, used, 0), np.where(known, right, 0)
    large = np.abs(right) > 1e-2 * np.abs(right).max()
    retained = large & (np.abs(used) > _ZERO[in_type])
    if not retained.any():
        return None
    factor = float(np.median(used[retained] / right[retained]))
    kept = np.abs(used) > np.abs(factor * right) / 2
    factor = float((used * right * kept).sum() / (right**2 * kept).sum())  # which no single error changes much
    error = np.abs(used - factor * right * kept).max() / np.abs(factor * right).max()
    makes_up = factor * float(retained.sum() / large.sum())
    if not error < _ERROR[in_type] or not (0.55 < makes_up < 1.8 or abs(factor - 1) < _ERROR[in_type]):
        return None
    return np.where(kept | ~known, factor, 0.0)


def _mixing_weights(explanation: Explanation, case: Case) -> Array:
    """The weights with which the explanation mixes the values."""
    weights: list[Array] = []

    def note(t: Trace) -> None:
        weights.append(t.p)

    evaluate(case, build((explanation.habit, *explanation.changes, {"+clean": note})))
    return weights[0]


def _with(explanation: Explanation, change: Change) -> Explanation:
    """The explanation with a change that belongs to none of its entries."""
    return replace(explanation, changes=(*explanation.changes, change), extended=False)


@configurable
def _multiply_weights(t: Trace, factors: Array) -> None:
    t.p = t.p * factors


@configurable
def _multiply_outputs(t: Trace, factors: Array) -> None:
    t.o = t.o * factors


_STAGES = {"+clean": _multiply_weights, "+finish": _multiply_outputs}


class _Solver:
    """Solves for the weights with which the values were mixed, once for all mistakes that only change the weights."""

    def __init__(self, in_type: str) -> None:
        self.in_type = in_type
        self._solved: dict[tuple[int, ...], Array | None] = {}

    def __call__(self, explanation: Explanation, shape: tuple[int, ...], call: Observation) -> Array | None:
        """Return them, or None where the output does not determine them."""
        others = (c for c in (explanation.habit, *explanation.changes) if not _ON_WEIGHTS.issuperset(c))
        key = (id(call), *map(id, others))
        if key not in self._solved:
            assert call.response.output is not None
            error = _ERROR[self.in_type]
            self._solved[key] = _solved(explanation, call.probe.case, call.response.output, shape, error)
        return self._solved[key]


@configurable
def _put(t: Trace, p: Array) -> None:
    t.p = p


def _solved(explanation: Explanation, case: Case, output: Array, shape: tuple[int, ...], error: float) -> Array | None:
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
    if rank < felt.sum() or np.abs(matrix[:, felt] @ solved + nothing - output.ravel()).max() > error:
        return None
    mask = np.full(felt.shape, np.nan)
    mask[felt] = solved
    return mask.reshape(shape)
