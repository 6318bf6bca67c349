"""What edge cases show by themselves: queries that may attend to nothing, NaN behind a mask, large logits."""

from __future__ import annotations

from dataclasses import replace

from headwise.checker.reference.state import grid
from headwise.checker.search.mistakes import Agreement, Explanation, Observation
from headwise.checker.user_code.numpy_guard import np

EDGES = ("empty-rows", "hidden-nan", "large-logits")


def is_left_with_nothing(call: Observation) -> bool:
    """Whether there are more queries than keys, so that the first of a causal function may see nothing."""
    *_, n, m = grid(call.probe.case)
    return n > m and bool(call.probe.case.get("causal"))


def hazards_of(call: Observation, right: bool) -> tuple[str, ...]:
    """What an edge case shows by itself, where no entry reproduces it to rounding."""
    if overflows(call):
        return ("softmax-overflow",)
    if call.probe.name == "hidden-nan":
        return ("mask-leaks-nan",) if right or not _is_finite(call) else ()
    return (_hazard_of_empty_rows(call),) if call.probe.name == "empty-rows" else ()


def overflows(call: Observation) -> bool:
    """Whether large logits give something that is not finite; those of ``sharp`` are large enough for float32."""
    return call.probe.name in ("large-logits", "sharp") and not _is_finite(call)


def split_empty_rows(
    explanation: Explanation, unexplained: list[Observation], agrees: Agreement
) -> tuple[tuple[str, ...], list[Observation]]:
    """The hazards of calls that are explained but for queries before the first key, and the calls that are not."""
    empty = [a for a in unexplained if is_left_with_nothing(a) and agrees(explanation, _but_for_empty(a, explanation))]
    hazards = tuple(dict.fromkeys(map(_hazard_of_empty_rows, empty)))
    return hazards, [a for a in unexplained if all(a is not b for b in empty)]


def _but_for_empty(call: Observation, explanation: Explanation) -> Observation:
    """The call, with what the reference gives queries that may attend to nothing."""
    expected, output = explanation.answer(call.probe.case), call.response.output
    if expected is None or output is None or output.shape != expected.output.shape:
        return call
    empty = (expected.weights[-1].sum(axis=-1) == 0).all(axis=1)[..., None]  # (B, N, 1)
    output = np.where(empty[:, None] if output.ndim == 4 else empty, expected.output, output)
    return Observation(call.probe, replace(call.response, output=output, weights=None))


def _hazard_of_empty_rows(call: Observation) -> str:
    """What a query gets that may attend to nothing: numbers, or NaN."""
    return "mask-finite-fill" if _is_finite(call) else "mask-all-hidden-nan"


def _is_finite(call: Observation) -> bool:
    return call.response.output is not None and bool(np.isfinite(call.response.output).all())
