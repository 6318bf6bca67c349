"""Whether an explanation agrees with what a function answered, to rounding in a type."""

from __future__ import annotations

from headwise.checker.reference.differences import PRECISIONS, difference, weights_difference
from headwise.checker.search.effort import count_evaluation
from headwise.checker.search.mistakes import Agreement, Explanation, Observation
from headwise.checker.user_code.numpy_guard import np

# how far it surely may, and how many times as far as it takes the reference in that type
_SURELY = {"float64": 1e-9, "float32": 4e-6, "float16": 4e-3}
_TIMES = 30
LARGE_LOGITS = 1e-3  # what float32 leaves of logits in the thousands, in whatever order they are summed


def fits(precision: str) -> Agreement:
    """Agreement to rounding in a type, of the output and of any weights that came with it."""

    def agrees(explanation: Explanation, call: Observation) -> bool:
        of_type = "float32" if call.narrow and precision == "float64" else precision
        times = 20 if call.probe.name == "large-logits" else 1  # these have lost digits before they are compared
        error = worst(explanation, call)
        if error <= _SURELY[of_type] or of_type == "float64":
            return error <= _SURELY[of_type] * times
        if of_type == "float16" and times > 1:
            return bool(np.isfinite(error))  # none of these digits are left
        if times > 1 and of_type == "float32":
            return error <= LARGE_LOGITS
        return error <= times * PRECISIONS[of_type] and error <= _TIMES * _rounding(explanation, call, of_type)

    return agrees


def _rounding(explanation: Explanation, call: Observation, of_type: str) -> float:
    """How far the explanation's own answer moves when it is computed in a narrower type."""
    coarse, fine = (explanation.answer(call.probe.case, in_type) for in_type in (of_type, "float64"))
    return 0.0 if coarse is None or fine is None else difference(coarse.output.astype(np.float64), fine.output)


def worst(explanation: Explanation, call: Observation) -> float:
    """The largest difference between what a function answered and what the explanation gives."""
    if explanation.key in call.errors:
        count_evaluation(call.probe.case)  # so that a search ends at the same combination in any case
        return call.errors[explanation.key][1]
    error = _worst(explanation, call)
    call.errors[explanation.key] = explanation, error  # with it, since the key holds as long as the explanation
    return error


def _worst(explanation: Explanation, call: Observation) -> float:
    count_evaluation(call.probe.case)
    expected = explanation.result(call.probe.case)
    if expected is None or call.response.output is None:
        return float("inf")
    error = difference(call.response.output, expected.output)
    if error == 0 and call.probe.name == "plain" and not np.isfinite(expected.output).any():
        return float("inf")  # that both are NaN throughout explains nothing
    if call.response.weights is None or np.isinf(error):
        return error
    return max(error, min(weights_difference(call.response.weights, w) for w in expected.weights))
