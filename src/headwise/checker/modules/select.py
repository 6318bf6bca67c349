"""Which reading of a layer's parameters explains its output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product, takewhile

from headwise.checker.measurement.influence import sees_windows_of_grid
from headwise.checker.modules.call import Call, CallError, visible_keys
from headwise.checker.modules.calls import takes_any_count, with_optional_context
from headwise.checker.modules.design import designs, measured_design, residuals
from headwise.checker.modules.extras import (
    configured_scale,
    is_norm_of_heads_alone,
    learned_scales,
    normalizes_all_heads_together,
    normalizes_heads,
    softcaps,
)
from headwise.checker.modules.gates import gates
from headwise.checker.modules.latent import latent_designs
from headwise.checker.modules.layer import Parameter
from headwise.checker.modules.more_keys import pair_designs, table_designs
from headwise.checker.modules.projections import Reading
from headwise.checker.modules.query_key_design import measure_query_key_design
from headwise.checker.modules.reduction import reductions, strided_kernel
from headwise.checker.modules.relative import relative_designs
from headwise.checker.modules.rotation import rotates
from headwise.checker.reference.differences import difference
from headwise.checker.reference.state import Case
from headwise.checker.search.effort import evaluations
from headwise.checker.search.mistakes import Explanation, forms_of, singles
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray

_CLOSE = 1e-5  # a layer may compute in float32
_ROUNDING = 1e-10
_SCREENED = 8  # readings with which single mistakes are tried
_COMMON = 3  # gates, which are sigmoids
_MOST = 40_000  # evaluations that this may take, which only a layer with many wide tokens uses up


@dataclass(frozen=True, slots=True)
class Match:
    """A reading, and how the layer is called."""

    call: Call  # with the axes in which tokens are passed
    reading: Reading  # how its parameters are read
    along_batch: bool = False  # whether the layer attends along the axis of the batch
    # the norm and the residual connection that it has, where they are known
    design: Explanation = field(default_factory=Explanation)


def select(calls: list[Call], options: list[Reading]) -> tuple[list[Match], bool]:
    """The one reading that explains the layer's output without a mistake, else with one, else the usual ones.

    Returns the matches in the order in which they are to be judged, and whether the first explains the output.
    """
    rotary = calls[0].layer.rotary_width
    pattern = _windows(calls[0], options[0])
    calls = [replace(call, turn=float(rotary is not None), pattern=pattern) for call in calls]
    trials: list[tuple[Match, Case, Array]] = []
    for call, reading in product(calls, options):
        trial = _trial(call, reading)
        if trial is None:
            continue
        case, output = trial
        if _distance(output, Explanation(), case) < _CLOSE:
            return [Match(call, reading)], True
        if call.batch > 1 and _distance(output.swapaxes(0, 1), Explanation(), _along_batch(case)) < _CLOSE:
            return [Match(call, reading, along_batch=True)], True
        if not any(other.reading is reading and np.array_equal(before, output) for other, _, before in trials):
            trials.append((Match(call, reading), case, output))  # masks of other forms may hide the same
    usual = [trial for trial in trials if not any(trial[0].reading.unusual)]
    if len(trials) > 1:
        trials = [trial for trial in trials if _finds_the_values(trial[0])] or trials
    screened = (usual + [trial for trial in trials if trial not in usual])[:_SCREENED]
    stored = {p.name for matrix in (*options[0].weights, *options[0].biases) for p in matrix.stored}
    layer = calls[0].layer
    model = options[0].sizes.model
    has_more = any(p.name not in stored and not is_norm_of_heads_alone(p, model) for p in layer.parameters)
    kernel = strided_kernel(layer)
    for match, case, output in screened:
        own_designs = latent_designs(rotary) if rotary is not None else reductions(kernel) if kernel else None
        possible = own_designs or designs(layer, has_more, match.call.takes_context)
        nearest, error = _nearest(possible, output, case)
        if error < _CLOSE:
            return [replace(match, design=_with_norm_of_context(match, nearest))], True
    if rotary is not None and trials:
        return [_of_latents(trials[0], rotary)], False
    base = _with_norm_of_context(trials[0][0], _own_design(trials[0][0], has_more)) if trials else Explanation()
    if trials and trials[0][0].call.takes_context and "norm-added" not in base.codes:
        base = _with_norm_of_queries(trials[0], base)
    if trials and layer.gate is not None and not base.codes:
        base = _gate_of(trials[0], gates(layer.gate)[:_COMMON])
    if trials and not trials[0][0].reading.sliced:
        base += _own_turn(trials[0][0], base)
    until = evaluations() + _MOST
    # that queries, keys and values are all transposed is less likely than another reading of the matrices
    likely_first = product((False, True), screened if len(screened) > 1 else ())
    for other_way, (match, case, output) in likely_first:
        possible_mistakes = (m for m in singles() if ("weights-transposed" in m.codes) == other_way)
        mistakes = (base + mistake for mistake in possible_mistakes if base.goes_with(mistake))
        in_time = takewhile(lambda _: evaluations() < until, mistakes)
        if any(_distance(output, mistake, case) < _CLOSE for mistake in in_time):
            return [replace(match, design=base)], True
    is_design = bool(base.codes) and (layer.gate is None or "gated" in base.codes)
    return [replace(match, design=base) for match, _, _ in trials[:2]], is_design and len(trials) == 1


def _nearest(possible: Iterable[Explanation], output: Array, case: Case) -> tuple[Explanation, float]:
    """The design that comes nearest to an output, and by how much; the first that reproduces it to rounding."""
    nearest, least = Explanation(), float("inf")
    for design in possible:
        error = _distance(output, design, case)
        if error < least:
            nearest, least = design, error
        if least < _ROUNDING:
            break
    return nearest, least


def with_tables(match: Match, tables: Mapping[str, Array]) -> Match:
    """The match with what one of the layer's tables does, if that is adding positions to its tokens, or sinks."""
    trial = _trial(match.call, match.reading) if tables else None
    if trial is None:
        return match
    case, output = trial
    heads, width = match.reading.sizes.heads, match.reading.sizes.width
    uses = [one for table in tables.values() for one in table_designs(table, heads)]
    uses += [*pair_designs(tables, heads, width), *relative_designs(tables, heads, width)]
    possible = [match.design + one for one in uses]
    if _distance(output, match.design, case) < _CLOSE:
        return match
    if "mask" not in case and not match.call.takes_context and not match.call.latents:
        visible = _visible(match.call, match.reading)
        case = case if visible is None or np.triu(visible, 1).any() else case | {"mask": visible[None, None]}
    for mistake in (Explanation(), *singles()):
        for design in possible:
            if design.goes_with(mistake) and _distance(output, design + mistake, case) < _CLOSE:
                return replace(match, design=design)
    return match


def _of_latents(trial: tuple[Match, Case, Array], rotary_width: int) -> Match:
    """The match with the design of a layer with latent vectors that explains it with one mistake, else the last."""
    match, case, output = trial
    for design in latent_designs(rotary_width):
        mistakes = (design + mistake for mistake in singles() if design.goes_with(mistake))
        if any(_distance(output, mistake, case) < _CLOSE for mistake in mistakes):
            break
    return replace(match, design=design)


def uses_values(call: Call, reading: Reading) -> bool:
    """Whether the projection to values has an influence on the output."""
    random = draw_weights(reading, np.random.default_rng(7))
    weights = {name: np.zeros_like(a) if name[0] == "b" else a for name, a in random.items()}
    without = weights | {"Wv": np.zeros_like(weights["Wv"])}
    outputs = [response[1] for values in (weights, without) if (response := _answer(call, reading, values)) is not None]
    return len(outputs) < 2 or difference(*outputs) > _CLOSE


def _windows(call: Call, reading: Reading) -> BoolArray | None:
    """The keys that each query sees (N, N) if these are windows of a grid, of which a layer has a fixed size."""
    if call.takes_context or call.latents or takes_any_count(call, reading.sizes):
        return None
    visible = _visible(call, reading)
    return visible if visible is not None and sees_windows_of_grid(visible) else None


def _visible(call: Call, reading: Reading) -> BoolArray | None:
    """The keys that each query sees, (N, N); None where that cannot be told."""
    X = np.random.default_rng(9).normal(size=(call.batch, call.count, reading.sizes.model))
    try:
        call.layer.write(reading.stored(draw_weights(reading, np.random.default_rng(7))))
        return visible_keys(call, X, call(X))
    except (CallError, ValueError):
        return None


def mixes_tokens(call: Call, reading: Reading) -> bool:
    """Whether the output of some token depends on the first or the last of the others."""
    X = np.random.default_rng(9).normal(size=(call.batch, max(call.rows, 2), reading.sizes.model))
    call.layer.write(reading.stored(draw_weights(reading, np.random.default_rng(7))))
    try:
        output = call(X)
        for one, others in ((0, slice(1, None)), (-1, slice(None, -1))):
            changed = X.copy()
            changed[:, one] *= -2
            if output.shape[:2] != X.shape[:2] or difference(call(changed)[:, others], output[:, others]) > _CLOSE:
                return True
    except (CallError, ValueError):
        return True
    return False


def _finds_the_values(match: Match) -> bool:
    """Whether nothing but a constant comes out of a layer without the values of a reading, whatever mistake it has."""
    weights = draw_weights(match.reading, np.random.default_rng(7))
    zero = {name: np.zeros_like(a) for name, a in weights.items()}
    X = np.random.default_rng(8).normal(size=(match.call.batch, match.call.rows, match.reading.sizes.model))
    outputs = []
    for values in (zero, weights | {name: zero[name] for name in ("Wv", "bv") if name in zero}):
        bias = {"bo": zero["bo"]} if "bo" in zero else {}
        match.call.layer.write(match.reading.stored(values | bias))
        try:
            outputs.append(match.call(X))
        except CallError:
            return True
    return difference(outputs[1], outputs[0]) < _CLOSE


def _own_design(match: Match, has_more: bool) -> Explanation:
    """The norm and the residual connection of a layer, whatever else it does."""
    weights = draw_weights(match.reading, np.random.default_rng(7))
    kernel = strided_kernel(match.call.layer)
    if kernel is not None:
        return _even_reduction(match, weights, kernel)
    return measured_design(match.call, match.reading, weights, has_more) or Explanation()


def _with_norm_of_context(match: Match, design: Explanation) -> Explanation:
    """The design with the norm that a layer has if it is called with a context that it may do without."""
    call = with_optional_context(match.call)
    if call is None or "norm-added" not in design.codes:
        return design
    weights = draw_weights(match.reading, np.random.default_rng(7))
    measured = measured_design(call, match.reading, weights, has_more=True) or Explanation()
    norms = [Explanation.of(pair) for pair in measured.pairs if pair[0] == "norm-added"]
    return design.without("norm-added") + norms[0] if norms else design


def _even_reduction(match: Match, weights: dict[str, Array], kernel: Parameter) -> Explanation:
    """The smaller image, as it is or normalised, whose even mixture comes nearest to a multiple of the layer's."""
    zero = {name: np.zeros_like(a) for name, a in weights.items()}
    even = zero | {name: weights[name] for name in ("Wv", "Wo") if name in weights}
    groups = match.reading.sizes.key_heads
    even["Wv"] = np.tile(even["Wv"][: len(even["Wv"]) // groups], (groups, 1))  # no mistake with the heads matters
    response = _answer(match.call, match.reading, even)
    options = list(reductions(kernel))
    if response is None:
        return options[0]
    case, output = response

    def error(design: Explanation) -> float:
        result = design.answer(case)
        if result is None or not result.output.any():
            return float("inf")
        factor = (output * result.output).sum() / (result.output**2).sum()
        return difference(output, factor * result.output)

    return min(options, key=error)


def _with_norm_of_queries(trial: tuple[Match, Case, Array], base: Explanation) -> Explanation:
    """The design with a norm of the tokens X next to a context without one, if their length has no influence."""
    match, case, output = trial
    weights = {name: a for name, a in case.items() if name[0] in "Wb"}
    zero = {name: np.zeros_like(a) for name, a in weights.items()}
    attended = []
    for X in (case["X"], 1.7 * case["X"]):
        parts = []
        for values in (zero, weights):
            match.call.layer.write(match.reading.stored(values))
            parts.append(match.call(X, case["context"]))
        attended.append(parts[1] - parts[0])
    if difference(attended[1], attended[0]) > _CLOSE:
        return base
    norms = [one for one in forms_of("norm-added") if "+arrange" in one.changes[0]]
    rest = base.without("residual-added")
    added = list(residuals()) if rest.codes != base.codes else [Explanation()]  # before the norm or after it
    for mistake in (Explanation(), *singles()):
        for norm, residual in product(norms, added):
            design = rest + norm + residual
            if design.goes_with(mistake) and _distance(output, design + mistake, case) < _CLOSE:
                return design
    return base


def _gate_of(trial: tuple[Match, Case, Array], possible: list[Explanation]) -> Explanation:
    """The gate with which one mistake explains the output, where nothing is known of the layer's design."""
    _, case, output = trial
    for gate, mistake in product(possible, singles()):
        if gate.goes_with(mistake) and _distance(output, gate + mistake, case) < _CLOSE:
            return gate
    return Explanation()


def _own_turn(match: Match, base_design: Explanation) -> Explanation:
    """The rotation and the norm of its queries and keys, if it has any."""
    sizes, layer = match.reading.sizes, match.call.layer
    turns, norm = rotates(match.call, sizes.model, sizes.context), _norm_of_heads(match)
    scales, caps = learned_scales(layer, sizes.heads), softcaps(layer)
    configured = configured_scale(layer)
    if not norm and not turns and not scales and not caps and configured is None:
        return Explanation()
    design = measure_query_key_design(
        match.call,
        match.reading,
        base_design,
        rotates=turns,
        norm=norm,
        scales=scales,
        configured=configured,
        caps=caps,
    )
    return design or Explanation()


def _norm_of_heads(match: Match) -> str:
    """The norm of queries and keys that a layer holds: of each head, or of all together, if that is what it learns."""
    layer, sizes = match.call.layer, match.reading.sizes
    if not normalizes_heads(layer) or not normalizes_all_heads_together(layer, sizes.heads, sizes.width):
        return "qk-norm" * normalizes_heads(layer)
    weights = draw_weights(match.reading, np.random.default_rng(7))
    larger = {**weights, "Wq": weights["Wq"] * np.where(np.arange(len(weights["Wq"])) < sizes.width, 3, 1)[:, None]}
    responses = [_answer(match.call, match.reading, values) for values in (weights, larger)]
    outputs = [response[1] for response in responses if response is not None]
    return "qk-norm-across-heads" if len(outputs) == 2 and difference(*outputs) > _CLOSE else "qk-norm"


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
    return _answer(call, reading, draw_weights(reading, np.random.default_rng(7)))


def _answer(call: Call, reading: Reading, weights: dict[str, Array]) -> tuple[Case, Array] | None:
    """One call with these weights and random tokens: the arguments of the reference, and the layer's output."""
    rng, s = np.random.default_rng(9), reading.sizes
    X = rng.normal(size=(call.batch, call.rows, s.model))
    case: Case = {"X": X, "heads": s.heads, "key_heads": s.key_heads, **weights}
    context = None
    if call.pattern is not None:
        case["mask"] = call.pattern[None, None]
    if call.takes_context:
        context = case["context"] = rng.normal(size=(len(X), call.count, s.context))
    try:
        call.layer.write(reading.stored(weights))
        return case, call(X, context)
    except (CallError, ValueError):
        return None


def _causal_or_not(case: Case) -> Iterator[Case]:
    yield case
    yield case | {"causal": True}


def _distance(output: Array, explanation: Explanation, case: Case) -> float:
    """The difference between an output and the reference's, causal or not, with the entries of an explanation."""
    results = (explanation.answer(one) for one in _causal_or_not(case))
    return min((difference(output, r.output) for r in results if r is not None), default=float("inf"))


def _along_batch(case: Case) -> Case:
    """The case with the axes of the batch and the tokens exchanged."""
    return case | {x: case[x].swapaxes(0, 1) for x in ("X", "context") if x in case}
