"""The attention weights that a function used, solved for from its outputs, which are linear in the values.

If log p − c · Q Kᵀ is the same for other tokens at the same positions, the function adds a bias of positions to its
logits, whatever the bias is: a table that was learned, or a formula.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from headwise.checker.calling.invocation import CallingConvention
from headwise.checker.catalogue import CATALOGUE
from headwise.checker.measurement.influence import options_without_effect
from headwise.checker.probes import first_probe
from headwise.checker.reference.conventions import CONVENTIONS
from headwise.checker.reference.definition import build, evaluate
from headwise.checker.reference.definition import scale as scale_by_width
from headwise.checker.reference.state import Case, Change, Trace, grid
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray

_SMALL = 0.5  # how large the tokens are, so that no weight vanishes
_SMALLER = 0.1  # where the factor of the logits may be large
_CLOSE = 1e-6
_NARROW = 1e-4  # for functions that compute in float32
_MOST_UNKNOWN = 600
_VANISHED = 1e-12
_RELIABLE = 1e-5  # smaller weights have lost digits, so that their logarithms are not exact
_UNKNOWN = 2  # a scale that is neither right nor that of a mistake
_FEW = 16  # items of a batch, for which an exact rank takes little time


Design: TypeAlias = tuple[tuple[str, Change], ...]


@dataclass(frozen=True, slots=True)
class Recovered:
    """The weights of one call, (B, H, N, M), and its arguments."""

    case: Case
    weights: Array


@dataclass(frozen=True, slots=True)
class Scores:
    """What the logits of a function are, up to a constant in each row: c · Q Kᵀ, and a bias of positions."""

    scale: float  # the factor c
    bias: Array  # log p − c · Q Kᵀ, less the mean of each row, (H, N, M)
    close: float  # how large a bias rounding may cause
    residual: float  # what neither explains, at most

    @property
    def biased(self) -> bool:
        """Whether there is a bias."""
        return float(np.abs(self.bias).max()) > self.close


@dataclass(frozen=True, slots=True)
class Measured:
    """What the weights of a function show of its logits."""

    design: Design = ()  # A rotation or norm of queries and keys, and a bias of positions, as in `CallingConvention`
    scale: MeasuredScale | None = None  # if it is not right
    known_scale: bool = True  # whether it is at least that of a mistake in the catalogue


class MeasuredScale:
    """The factor of Q Kᵀ in a function, measured at each size as needed."""

    def __init__(self, convention: CallingConvention) -> None:
        self._convention = convention
        self._factors: dict[tuple[int, ...], float] = {}

    @property
    def change(self) -> Change:
        """The reference with this factor, unless a scale is passed."""
        return {"scale": self._scale}

    def _scale(self, t: Trace) -> None:
        scale_by_width(t)
        if "scale" in t.case or "logscale" in t.case:
            return
        size = (*t.q.shape[1:], *t.k.shape[1:], t.width)
        if size not in self._factors:
            scores = fitted_scores(self._convention, recovered_runs(self._convention, t.case, _SMALLER))
            if scores is None or not scores.scale:  # as where all logits are zero
                return
            self._factors[size] = scores.scale
        t.scale = self._factors[size] / t.case.get("temperature", 1.0)

    def in_words(self) -> str:
        """The factors, for widths of a head."""
        factors = {size[2]: f"{factor:.4g}" for size, factor in self._factors.items()}
        if len(factors) > 1 and len(set(factors.values())) == 1:
            return f"The logits are multiplied by {next(iter(factors.values()))}, however wide the heads are."
        shown = [f"by {factor} with heads of width {d}, where 1/√d is {d**-0.5:.4g}" for d, factor in factors.items()]
        return f"The logits are multiplied {', and '.join(shown[:2])}."


def recover_weights(
    convention: CallingConvention, like: Case, rng: np.random.Generator, size: float = _SMALL
) -> Recovered | None:
    """Return the weights that a function uses for random tokens; None if its output does not determine them.

    `convention`: how the function is called.
    `like`: arguments whose sizes are used; masks and other options are left out unless they have to be passed.
    `rng`: makes the tokens.
    `size`: how large the tokens are.
    """
    sizes = convention.interface.sizes
    case = _redrawn(like, convention, rng, size)
    values = "v" if "v" in case else "Wv"
    before = trace_of(case, convention)
    sliced = sizes is not None and sizes.sliced
    interface = convention.interface
    if before is None or sliced or interface.unprojected or (interface.of_tokens and interface.cached):
        return None
    b, heads, n, m = before.p.shape
    width = before.o.shape[-1]
    joint = heads if before.of_tokens else 1  # heads that are solved for together
    if joint * m > _MOST_UNKNOWN:
        return None
    zero = case | {values: np.zeros_like(case[values])}
    constant = convention.call(zero).output
    equations, outputs = [], []
    for _ in range(-(-joint * m // width) + 1):
        drawn = case | {values: rng.normal(size=case[values].shape).astype(case[values].dtype)}
        trace, output = trace_of(drawn, convention), convention.call(drawn).output
        if constant is None or trace is None or output is None or output.shape != trace.o.shape:
            return None
        equations.append(_contributions(trace) - _contributions(trace_of(zero, convention)))
        outputs.append((output - constant).swapaxes(-1, -2))
    matrix, right = np.concatenate(equations, axis=-2), np.concatenate(outputs, axis=-2)
    solved = _least_squares(matrix, right)  # (B, joint · M, N), or (B, H, M, N)
    if solved is None:
        return None
    close = _NARROW if convention.interface.dtype == "float32" else _CLOSE
    if np.abs(matrix @ solved - right).max() > close * np.abs(right).max():
        return None
    weights = solved.reshape(b, heads, m, n).swapaxes(-1, -2)
    return Recovered(case, np.asarray(weights))


def _least_squares(matrix: Array, right: Array) -> Array | None:
    """The only solutions of stacks of equations; None if there are several, or numbers that are not finite."""
    if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
        return None
    if len(matrix) <= _FEW:
        unique = np.linalg.matrix_rank(matrix).min() == matrix.shape[-1]
        return np.asarray(np.linalg.pinv(matrix) @ right) if unique else None
    turned = matrix.swapaxes(-1, -2)
    squares = turned @ matrix  # of which the many stacks take much less time
    sizes = np.linalg.eigvalsh(squares)
    if (sizes[..., 0] < 1e-9 * sizes[..., -1]).any():
        return None
    solved = np.linalg.solve(squares, turned @ right)
    return np.asarray(solved + np.linalg.solve(squares, turned @ (right - matrix @ solved)))


def recovered_runs(convention: CallingConvention, like: Case, size: float = _SMALL) -> list[Recovered]:
    """The weights for two draws of tokens of the same sizes; none if its outputs do not determine them."""
    rng = np.random.default_rng(5)
    runs = [recover_weights(convention, like, rng, size) for _ in range(2)]
    return [run for run in runs if run is not None] if all(runs) else []


def is_softmax(run: Recovered) -> bool:
    """Whether weights are positive and the rows have one sum, as behind a softmax and perhaps a constant factor."""
    sums = run.weights.sum(axis=-1)
    return bool(run.weights.min() > -_NARROW and np.abs(sums - sums.mean()).max() < _NARROW)


def fitted_scores(convention: CallingConvention, runs: list[Recovered]) -> Scores | None:
    """Return the scale and the bias of positions with which the definition has these weights; None without them."""
    if (products := _products(convention, runs)) is None:
        return None
    p, s, see = products
    visible = np.concatenate([np.broadcast_to(v, run.weights.shape) for v, run in zip(see, runs, strict=True)])
    if not np.array_equal(p > _VANISHED, visible) or np.abs(p.sum(axis=-1) - 1).max() > _NARROW:
        return None
    logs, s = _centred(np.log(np.where(visible, p, 1.0)), visible), _centred(s, visible)
    x, y = s - s.mean(axis=0), logs - logs.mean(axis=0)
    scale = float((x * y).sum() / (x * x).sum()) if x.any() else 0.0
    left = logs - scale * s
    bias = np.asarray(left.mean(axis=0))
    close = _NARROW if convention.interface.dtype == "float32" else _CLOSE
    residual = float(np.abs(left - bias).max())
    return Scores(scale, bias, close, residual) if residual <= close * max(1.0, float(np.abs(left).max())) else None


def factor_of(convention: CallingConvention, runs: list[Recovered]) -> float | None:
    """Return the factor of Q Kᵀ with which the definition has these weights, whatever is hidden; None without one."""
    if (products := _products(convention, runs)) is None:
        return None
    p, s, _ = products
    visible = p > _RELIABLE
    if not visible.any(axis=-1).all():
        return None
    logs, s = _centred(np.log(np.where(visible, p, 1.0)), visible), _centred(s, visible)
    factor = float((s * logs).sum() / (s * s).sum()) if s.any() else 0.0
    return factor if np.abs(logs - factor * s).max() <= _NARROW * max(1.0, float(np.abs(logs).max())) else None


def _products(
    convention: CallingConvention, runs: list[Recovered]
) -> tuple[Array, Array, list[BoolArray | bool]] | None:
    """The weights of some runs, Q Kᵀ, and what each run hides; None where the reference has no such weights."""
    traces = [t for run in runs if (t := trace_of(run.case, convention)) is not None]
    if not runs or len(traces) < len(runs):
        return None
    p = np.concatenate([run.weights for run in runs])
    s = np.concatenate([t.q @ t.k.swapaxes(-1, -2) for t in traces])
    return (p, s, [True if t.see is None else t.see for t in traces]) if s.shape == p.shape else None


def is_known_factor(factor: float, case: Case) -> bool:
    """Whether a factor is the right one, also by a convention, or that of a mistake of the catalogue."""
    return _judged_scale(Scores(factor, np.zeros(1), _CLOSE, 0.0), case) < _UNKNOWN


def measured_design(convention: CallingConvention) -> Measured:
    """Measure the rotation or norm of queries and keys, the scale, and the bias of positions that the weights show."""
    runs = recovered_runs(convention, first_probe(convention.interface).case)
    if not runs:
        return Measured()
    turns = [(code, change) for code in ("rope", "qk-norm") for change in CONVENTIONS[code].changes]
    fitting: list[tuple[int, float, Design, Scores]] = []
    for turn in ((), *((turn,) for turn in turns)):
        scores = fitted_scores(convention.with_design(*turn), runs)
        if scores is not None:
            fitting.append((_judged_scale(scores, runs[0].case), scores.residual, turn, scores))
            if not turn:
                break
    if not fitting:
        return Measured()
    judged, _, turn, scores = min(fitting, key=lambda fit: fit[:2])  # norms differ by a factor, and by their epsilons
    candidate = convention.with_design(*turn)
    bias = _design_of_bias(candidate, scores, runs[0]) if scores.biased else ()
    design = (*turn, *bias)
    scale = MeasuredScale(convention.with_design(*design)) if judged else None
    return Measured(design, scale, judged < _UNKNOWN)


def _judged_scale(scores: Scores, case: Case) -> int:
    """0 if the scale is right, also by a convention, 1 if it is that of a mistake of the catalogue, 2 if neither."""
    if abs(scores.scale) < scores.close:
        return 0  # every key is equally hidden, which says nothing about the scale
    right = [{}, *CONVENTIONS["temperature"].changes, *CONVENTIONS["scale-divides"].changes]
    mistaken = [c for e in CATALOGUE.values() if e.code.startswith("scale") for c in e.changes]
    for place, changes in enumerate((right, mistaken)):
        traces: list[Trace] = []
        for change in changes:
            evaluate(case, build([change, {"+finish": traces.append}]))
        likely = [float(t.scale) * factor for t in traces for factor in (1.0, np.log(2.0))]  # e or 2 to the logits
        if any(abs(scores.scale - one) <= _NARROW * abs(one) for one in likely):
            return place
    return _UNKNOWN


def _design_of_bias(convention: CallingConvention, scores: Scores, run: Recovered) -> Design:
    """ALiBi, or a bias of its own; nothing if it is ALiBi with another sign, or divided by √d with the logits."""
    for code, change in [("alibi", c) for c in CONVENTIONS["alibi"].changes] + [
        ("alibi-sign", c) for c in CATALOGUE["alibi-sign"].changes if "+bias" in c
    ]:
        trace = trace_of(run.case, convention)
        assert trace is not None
        visible = np.broadcast_to(True if trace.see is None else trace.see, run.weights.shape)
        trace.s = np.zeros_like(run.weights)
        change["+bias"](trace)
        bias = _centred(trace.s, visible)[0]
        if np.abs(bias * trace.q.shape[-1] ** -0.5 - scores.bias).max() <= scores.close:
            return ()
        if np.abs(bias - scores.bias).max() <= scores.close:
            return ((code, change),) if code == "alibi" else ()
    return (("position-bias", bias_of_positions(convention)),)


def bias_of_positions(convention: CallingConvention) -> Change:
    """The reference with the bias that a function has at each number of queries and keys, measured as needed."""
    measured: dict[tuple[int, ...], Scores | None] = {}

    def add(t: Trace) -> None:
        shape = t.s.shape[1:]
        if shape not in measured:
            measured[shape] = fitted_scores(convention, recovered_runs(convention, t.case))
        scores = measured[shape]
        if scores is not None:
            t.s = t.s + scores.bias

    return {"+bias": add}


def _centred(a: Array, visible: Array | BoolArray) -> Array:
    """Less the mean over the visible keys of each row; zero where hidden."""
    mean = np.where(visible, a, 0).sum(axis=-1, keepdims=True) / visible.sum(axis=-1, keepdims=True)
    return np.where(visible, a - mean, 0.0)


def _redrawn(like: Case, convention: CallingConvention, rng: np.random.Generator, size: float) -> Case:
    """Other tokens, queries and keys of the same sizes, and no options but those that have to be passed."""
    same = {"heads", "key_heads", "Wo", "bo", "Wq", "Wk", "Wv", "bq", "bk", "bv"} | convention.interface.implicit.keys()
    case = {name: value for name, value in like.items() if name in same}
    for name in ("X", "context", "q", "k", "v"):
        if name in like:
            case[name] = (size * rng.normal(size=like[name].shape)).astype(like[name].dtype)
    batch, _, n, m = grid(case)
    interface = convention.interface
    neutral = first_probe(interface).case | options_without_effect(interface, batch, n, m)
    return case | {name: neutral[name] for name in interface.needs - case.keys() if name in neutral}


def trace_of(case: Case, convention: CallingConvention) -> Trace | None:
    """What the reference holds at the end, the output before the output matrix among it."""
    traces: list[Trace] = []
    design = [change for _, change in convention.design if "+bias" not in change]
    evaluate(case, build([*design, {"+finish": traces.append}]))
    return traces[0] if traces else None


def _contributions(t: Trace | None) -> Array:
    """What each key's value adds to an output per unit of weight, (B, D', H · M), or (B, H, e, M) without tokens."""
    assert t is not None
    if not t.of_tokens:
        return t.v.swapaxes(-1, -2)
    b, heads, m, e = t.v.shape
    if "o" in t.W:
        blocks = np.stack(np.split(t.W["o"], heads, axis=1))  # (H, D', e)
        parts = t.v @ blocks.swapaxes(-1, -2)  # (B, H, M, D')
    else:
        parts = np.zeros((b, heads, m, heads * e))
        for h in range(heads):
            parts[:, h, :, h * e : (h + 1) * e] = t.v[:, h]
    return np.asarray(parts.transpose(0, 3, 1, 2).reshape(b, parts.shape[-1], heads * m))
