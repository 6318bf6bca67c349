"""Mistakes around the operation: extra components, what is returned, and what happens to the arguments."""

from __future__ import annotations

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.reference.stages import Norm, rms, standard
from headwise.checker.reference.state import Change, Trace, configurable
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

__all__ = ["ENTRIES"]

PLAIN = "O = softmax(Q Kᵀ / √d) V, and nothing else"


def residual(t: Trace) -> None:
    t.o = t.o + (t.X if t.of_tokens else t.case["q"])


def residual_of_inputs(t: Trace) -> None:
    t.o = t.o + (t.case["X"] if t.of_tokens else t.case["q"])


def residual_before_output(t: Trace) -> None:
    if t.of_tokens:
        t.o = t.o + t.X


def identity_in_weights(t: Trace) -> None:
    """A residual connection of the values: the weights and the identity."""
    if t.p.shape[-1] == t.p.shape[-2]:
        t.p = t.p + np.eye(t.p.shape[-1])


VALUES_ADDED: Change = {"+clean": identity_in_weights}


def sinusoids(x: Array, interleaved: bool) -> Array:
    """Positions for (..., N, D), Vaswani et al., section 3.5; sines and cosines alternating or one half each."""
    n, width = x.shape[-2:]
    even = np.arange(0, width, 2)
    angles = np.arange(n)[:, None] / 10000.0 ** (even / width)
    sin, cos = np.sin(angles), np.cos(angles)[:, : width // 2]
    if not interleaved:
        return np.concatenate([sin, cos], axis=1)
    table = np.empty((n, width))
    table[:, ::2], table[:, 1::2] = sin, cos
    return table


@configurable
def with_sinusoids(t: Trace, interleaved: bool) -> None:
    if t.of_tokens:
        t.X = t.X + sinusoids(t.X, interleaved)
    else:
        t.q, t.k = (a + sinusoids(a, interleaved) for a in (t.q, t.k))


def with_index(t: Trace) -> None:
    if t.of_tokens:
        t.X = t.X + np.arange(t.X.shape[-2])[:, None]


def divided_by_deviation(x: Array, eps: float) -> Array:
    """As a layer norm, with the epsilon outside of the root."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(centred / (np.sqrt((centred**2).mean(axis=-1, keepdims=True)) + eps))


@configurable
def norm_before(t: Trace, norm: Norm, eps: float) -> None:
    if t.of_tokens:
        t.X = norm(t.X, eps)
    else:
        t.q, t.k = norm(t.q, eps), norm(t.k, eps)


@configurable
def norm_after(t: Trace, norm: Norm, eps: float) -> None:
    t.o = norm(t.o, eps)


def norms() -> tuple[Change, ...]:
    """Layer norm and RMS norm, of the tokens or of the output, with the epsilons in use."""
    kinds: list[tuple[Norm, float]] = [(standard, eps) for eps in (1e-5, 1e-6, 1e-8, 0.0)]
    kinds += [(divided_by_deviation, eps) for eps in (1e-5, 1e-6, 1e-8)]
    kinds += [(rms, eps) for eps in (1e-5, 1e-6, 1e-8, 0.0)]
    return tuple({"+arrange": norm_before(*k)} for k in kinds) + tuple({"+finish": norm_after(*k)} for k in kinds)


def turned_output(t: Trace) -> None:
    t.o = t.o.swapaxes(-1, -2)


def turned_weights(t: Trace) -> None:
    t.weights = tuple(w.swapaxes(-1, -2) for w in t.weights)


def note_logits(t: Trace) -> None:
    t.weights = (t.s,)


@configurable
def note_filled(t: Trace, value: float) -> None:
    """Note the logits with a finite number where they are hidden."""
    t.weights = (t.s if t.see is None else np.where(t.see, t.s, value),)


def return_noted(t: Trace) -> None:
    t.weights = t.weights[:1]


def note_products(t: Trace) -> None:
    t.weights = (t.o @ t.v.swapaxes(-1, -2),)


ENTRIES = (
    Mistake(
        "residual-added",
        "The input, or each token's own value, is added to the output.",
        PLAIN,
        "The residual connection belongs to the transformer block around attention.",
        "Return the attention output without + X.",
        ("residual", "return"),
        (
            {"+finish": residual_of_inputs},
            {"+finish": residual},
            {"+merge": residual_before_output},
            VALUES_ADDED,
        ),
    ),
    Mistake(
        "positions-added",
        "Positional encodings are added to the tokens.",
        PLAIN,
        "Self-attention alone is permutation equivariant: with positions it no longer is.",
        "Leave the positional encoding to the caller.",
        ("positions",),
        ({"+arrange": with_sinusoids(True)}, {"+arrange": with_sinusoids(False)}, {"+arrange": with_index}),
    ),
    Mistake(
        "norm-added",
        "The tokens or the output are normalised.",
        PLAIN,
        "The normalisation belongs to the transformer block around attention.",
        "Leave the layer norm to the caller.",
        ("norm",),
        norms(),
    ),
    Mistake(
        "dropout-active",
        "Weights or outputs are dropped at random outside training.",
        PLAIN,
        "The same input gives other outputs; what is kept is divided by the share that is kept.",
        "Drop only in training, and let the default be no dropout.",
        ("dropout",),
        reported_in=("pytorch#124464",),
    ),
    Mistake(
        "dtype-lowered",
        "The computation or the result is in a narrower type than the arguments.",
        "float64 in, float64 out; float32 in, float32 out",
        "An .astype(np.float32), or an array made by np.zeros(..., dtype=np.float32).",
        "Make intermediate arrays in the type of the arguments.",
        ("dtype",),
        level="hazard",
    ),
    Mistake(
        "input-changed",
        "The function writes into its arguments.",
        "the caller's arrays are left as they are",
        "X += …, s *= … on a view, and np.fill_diagonal do this.",
        "Write x = x + … instead of x += …, or copy first.",
        ("inplace",),
        level="hazard",
    ),
    Mistake(
        "output-transposed",
        "The output is returned with tokens as columns where they were given as rows, or the other way.",
        "O of shape (N, e) for X of shape (N, D)",
        "A transposition too many or too few at the end.",
        "Return the output in the orientation of the input.",
        ("return",),
        ({"+finish": turned_output},),
    ),
    Mistake(
        "weights-transposed-out",
        "The returned attention weights are (keys, queries) instead of (queries, keys).",
        "P[n, m] = how much output n takes from input m; rows sum to one",
        "Columns of the returned weights sum to one.",
        "Return the weights with one row for each query.",
        ("return",),
        ({"+finish": turned_weights},),
    ),
    Mistake(
        "weights-before-softmax",
        "The logits are returned as attention weights.",
        "P = softmax(S)",
        "The returned weights are negative or do not sum to one.",
        "Return what the softmax gave.",
        ("return",),
        (
            *({after: note_logits, "+finish": return_noted} for after in ("+hide", "+bias", "+logits")),
            *({"+hide": note_filled(v), "+finish": return_noted} for v in (-1e9, -1e4, float(np.finfo(float).min))),
        ),
    ),
    Mistake(
        "weights-from-outputs",
        "What is returned as attention weights is the product of the outputs and the values.",
        "P = softmax(S)",
        "The returned weights are negative or do not sum to one, and no softmax made them.",
        "Return what the softmax gave; a fused kernel does not give it.",
        ("return",),
        ({"+mix": note_products},),
        reported_in=("dinov2#90",),
    ),
)
