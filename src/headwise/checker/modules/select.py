"""Which reading of a layer's parameters explains its output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headwise.checker.modules.calls import Call, CallError
from headwise.checker.modules.projections import Reading
from headwise.checker.numpy_guard import np
from headwise.checker.reference import Result, build, evaluate
from headwise.checker.search import Explanation, difference, singles
from headwise.checker.state import Case
from headwise.shapes import Array

__all__ = ["Match", "draw_weights", "select"]

_CLOSE = 1e-5  # a layer may compute in float32
_SCREENED = 8  # readings with which single mistakes are tried


@dataclass(frozen=True, slots=True)
class Match:
    """A reading, and how the layer is called.

    Attributes
    ----------
    call : Call
        With the axes in which tokens are passed.
    reading : Reading
        How its parameters are read.
    along_batch : bool
        Whether the layer attends along the axis of the batch.
    """

    call: Call
    reading: Reading
    along_batch: bool = False


def select(calls: list[Call], options: list[Reading]) -> tuple[list[Match], bool]:
    """The one reading that explains the layer's output without a mistake, else with one, else the usual ones.

    Returns
    -------
    matches : list of Match
        In the order in which they are to be judged.
    explained : bool
        Whether the first explains the output.
    """
    trials: list[tuple[Match, Case, Array]] = []
    stored = {p.name for r in options[:1] for m in (*r.weights, *r.biases) for p in m.stored}
    has_more = any(p.name not in stored for p in calls[0].layer.parameters)
    for call in calls:
        for reading in options:
            trial = _trial(call, reading)
            if trial is None:
                continue
            case, output = trial
            if any(_fits(output, result) for result in _without_mistake(case, has_more)):
                return [Match(call, reading)], True
            if call.axes != "ND" and any(_fits(output, result) for result in _along_batch(case)):
                return [Match(call, reading, along_batch=True)], True
            trials.append((Match(call, reading), case, output))
    for match, case, output in trials[: _SCREENED if len(trials) > 1 else 0]:
        explanations = _with_mistake(gated=any(p.value.size == 1 for p in match.call.layer.parameters))
        if any(_fits(output, one.answer(arguments)) for one in explanations for arguments in _causal_or_not(case)):
            return [match], True
    return [match for match, _, _ in trials[:2]], False


def draw_weights(reading: Reading, rng: np.random.Generator) -> dict[str, Array]:
    """Random weights for which the softmax is neither even nor a choice."""
    s = reading.sizes
    shapes = {
        "Wq": (s.heads * s.width, s.model),
        "Wk": (s.key_heads * s.width, s.context),
        "Wv": (s.key_heads * s.values, s.context),
        "Wo": (s.output, s.heads * s.values),
    }
    there = reading.parameters
    weights = {name: 1.2 * rng.normal(size=shape) * shape[1] ** -0.5 for name, shape in shapes.items() if name in there}
    weights |= {f"b{x}": rng.normal(size=shapes[f"W{x}"][0]) for x in "qkvo" if f"b{x}" in there}
    return reading.constrained(weights)


def _trial(call: Call, reading: Reading) -> tuple[Case, Array] | None:
    """One call with random weights and tokens: the arguments of the reference, and the layer's output."""
    rng = np.random.default_rng(7)
    s = reading.sizes
    weights = draw_weights(reading, rng)
    X = rng.normal(size=(1 if call.axes == "ND" else 2, call.count, s.model))
    case: Case = {"X": X, "heads": s.heads, "key_heads": s.key_heads, **weights}
    context = None
    if call.takes_context and s.model != s.context:
        context = case["context"] = rng.normal(size=(len(X), call.count, s.context))
    try:
        call.layer.write(reading.stored(weights))
        return case, call(X, context)
    except (CallError, ValueError):
        return None


def _causal_or_not(case: Case) -> Iterator[Case]:
    yield case
    yield case | {"causal": True}


def _without_mistake(case: Case, has_more: bool) -> Iterable[Result | None]:
    """What attention returns, causal or not; of a layer that learns more, with a residual connection or a norm too."""
    for one in _causal_or_not(case):
        yield evaluate(one, build())
    for part in singles() if has_more else ():
        if part.codes[0] in ("norm-added", "residual-added"):
            for one in _causal_or_not(case):
                yield part.answer(one)


def _with_mistake(gated: bool) -> Iterator[Explanation]:
    """One mistake; for a layer with a gate next to a residual connection."""
    yield from singles()
    for part in singles() if gated else ():
        if part.codes == ("residual-added",):
            yield from (part + mistake for mistake in singles() if part.goes_with(mistake))


def _along_batch(case: Case) -> Iterable[Result | None]:
    exchanged = {x: case[x].swapaxes(0, 1) for x in ("X", "context") if x in case}
    for one in _causal_or_not(case | exchanged):
        result = evaluate(one, build())
        yield None if result is None else Result(result.output.swapaxes(0, 1))


def _fits(output: Array, result: Result | None) -> bool:
    return result is not None and difference(output, result.output) < _CLOSE
