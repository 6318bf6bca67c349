"""Mistakes with positions: rotary embeddings, biases of the logits, norms of queries and keys."""

from __future__ import annotations

from collections.abc import Callable

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.catalogue.projections import nothing
from headwise.checker.reference.definition import bias, distances, rotated_halves, rotated_neighbours
from headwise.checker.reference.stages import SLOPES, Turn, alibi, rotary_after
from headwise.checker.reference.state import Change, Stage, Trace, configurable
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

__all__ = ["ENTRIES", "TURNED_BY_HEAD"]

ROTATION = "q[n] and k[n] are rotated by the angles of position n, and v is not"
BIAS = "S[n, m] = Q[n] · K[m] / √d + bias[n, m]"


@configurable
def rotated(t: Trace, of_halves: bool, of_neighbours: bool) -> None:
    """Whether neighbours are rotated if halves are requested, and if neighbours are."""
    if "cos" in t.case:
        neighbours = of_neighbours if t.case.get("interleaved") else of_halves
        turn = rotated_neighbours if neighbours else rotated_halves
        t.q, t.k = (turn(a, t.case["cos"], t.case["sin"]) for a in (t.q, t.k))


@configurable
def given_angles(t: Trace, which: str, axis: int = 2, turn: Turn | None = None) -> None:
    """Rotate by the angles that are passed: these of q, k and v, with the place on this axis as the position."""
    if "cos" in t.case:
        default_turn = rotated_neighbours if t.case.get("interleaved") else rotated_halves
        _rotate(t, which, axis, turn or default_turn, lambda n, d: (t.case["cos"][:n], t.case["sin"][:n]))


@configurable
def own_angles(t: Trace, which: str, turn: Turn, axis: int = 2) -> None:
    """Rotate by angles that the function makes itself, n · 10000^(−2i/d), n being the place on this axis."""

    def angles(n: int, d: int) -> tuple[Array, Array]:
        turns = np.arange(n)[:, None] * 1e4 ** (-np.arange(0, d, 2) / d)
        return np.cos(turns), np.sin(turns)

    _rotate(t, which, axis, turn, angles)


def _rotate(t: Trace, which: str, axis: int, turn: Turn, angles: Callable[[int, int], tuple[Array, Array]]) -> None:
    for name in which:
        a = getattr(t, name)
        cos, sin = (np.expand_dims(x, tuple(range(1, 3 - axis))) for x in angles(a.shape[axis], a.shape[-1]))
        setattr(t, name, turn(a, cos, sin))


def both(queries: Stage, keys: Stage) -> Stage:
    """One stage after the other."""

    def run(t: Trace) -> None:
        queries(t)
        keys(t)

    return run


def with_angles_of_neighbours(a: Array, cos: Array, sin: Array) -> Array:
    """Rotate the pairs (i, i + d/2), with the angles in the order of the pairs (2i, 2i + 1)."""
    x, y = np.split(a, 2, axis=-1)
    quarter_turn = np.concatenate([-y, x], axis=-1)
    return np.asarray(a * np.repeat(cos, 2, axis=-1) + quarter_turn * np.repeat(sin, 2, axis=-1))


def with_angles_of_halves(a: Array, cos: Array, sin: Array) -> Array:
    """Rotate the pairs (2i, 2i + 1), with the angles in the order of the pairs (i, i + d/2)."""
    quarter_turn = np.stack([-a[..., 1::2], a[..., ::2]], axis=-1).reshape(a.shape)
    return np.asarray(a * np.concatenate([cos, cos], axis=-1) + quarter_turn * np.concatenate([sin, sin], axis=-1))


def rotations(which: str) -> tuple[Change, ...]:
    """With the angles that are passed, and with a function's own."""
    with_computed_angles = tuple({"+rotate": own_angles(which, turn)} for turn in (rotated_halves, rotated_neighbours))
    return ({"rotate": given_angles(which)}, *with_computed_angles)


def bias_first(t: Trace) -> None:
    t.s = t.q @ t.k.swapaxes(-1, -2)
    bias(t)
    t.s = t.s * t.scale


@configurable
def slopes_first(t: Trace, symmetric: bool, slopes_of: Callable[[int], Array]) -> None:
    """ALiBi of its own, which is scaled too."""
    t.s = t.s - t.scale * slopes_of(t.s.shape[1]) * distances(t, symmetric)


def bias_turned(t: Trace) -> None:
    if "bias" in t.case:
        t.s = t.s + t.case["bias"].swapaxes(-1, -2)


@configurable
def growing_by_slopes(t: Trace, symmetric: bool) -> None:
    if "bias" in t.case:
        t.s = t.s + t.case["bias"]
    if "slopes" in t.case:
        t.s = t.s + t.case["slopes"] * distances(t, symmetric)


@configurable
def of_first(t: Trace, array: str) -> None:
    """The bias or the slope of the first head for every head."""
    if "bias" in t.case:
        t.s = t.s + (t.case["bias"][:, :1] if array == "bias" else t.case["bias"])
    if "slopes" in t.case:
        t.s = t.s - (t.case["slopes"][:1] if array == "slopes" else t.case["slopes"]) * distances(t)


@configurable
def norm_of_all_heads(t: Trace, centred: bool, eps: float) -> None:
    t.q, t.k = (_norm(a, centred, eps) for a in (t.q, t.k))


def _norm(a: Array, centred: bool, eps: float) -> Array:
    axes = (1, 3)
    a = a - a.mean(axis=axes, keepdims=True) if centred else a
    return np.asarray(a / np.sqrt((a**2).mean(axis=axes, keepdims=True) + eps))


_OF_OTHER_PAIRS = (with_angles_of_neighbours, with_angles_of_halves)
_APART = ((rotated_halves, rotated_neighbours), (rotated_neighbours, rotated_halves))  # of queries, and of keys

# these cancel unless several heads of queries share a key head, which has another place
TURNED_BY_HEAD = tuple({"+rotate": own_angles("qk", turn, 1)} for turn in (rotated_halves, rotated_neighbours))

ENTRIES = (
    Mistake(
        "rope-layout",
        "The rotary embedding pairs halves where neighbours are meant, or the other way, perhaps of keys alone.",
        "halves: (x_i, x_{i+d/2});  neighbours: (x_{2i}, x_{2i+1})",
        "Both layouts are in use, and checkpoints are permuted from one to the other.",
        "Rotate the pairs of the layout that is requested.",
        ("rope",),
        (
            *({"rotate": rotated(*pair)} for pair in ((True, False), (False, False), (True, True))),
            *({"rotate": given_angles("qk", turn=turn)} for turn in _OF_OTHER_PAIRS),
            *({"+rotate": own_angles("qk", turn)} for turn in _OF_OTHER_PAIRS),
            *({"rotate": both(given_angles("q", turn=a), given_angles("k", turn=b))} for a, b in _APART),
            *({"+rotate": both(own_angles("q", a), own_angles("k", b))} for a, b in _APART),
        ),
        reported_in=("transformers#25199", "TinyLlama#24", "transformers#31788"),
    ),
    Mistake(
        "rope-axis",
        "The rotary angles are looked up along the heads or the batch instead of along the tokens.",
        ROTATION,
        "Queries and keys of a head are rotated alike, which cancels: the order of the tokens has no influence.",
        "Apply the angles to the token axis: cos[:, None, :] for (B, N, H, d), cos for (B, H, N, d).",
        ("rope",),
        (
            *({"rotate": given_angles("qk", axis)} for axis in (1, 0)),
            *TURNED_BY_HEAD,
        ),
        reported_in=("xformers#841", "mlfoundations/open_lm#4", "lucidrains/ring-attention-pytorch#15"),
    ),
    Mistake(
        "rope-one-side",
        "Only the queries or only the keys are rotated.",
        ROTATION,
        "The logits depend on absolute positions and not on distances.",
        "Rotate queries and keys.",
        ("rope",),
        (*rotations("q"), *rotations("k")),
        reported_in=("mlx-rs#359",),
    ),
    Mistake(
        "rope-offset",
        "New tokens next to a cache are rotated as if they were the first: the number of earlier ones is left out.",
        ROTATION,
        "The first step of decoding is right, and later ones see the earlier tokens at wrong distances.",
        "Begin the positions of the new tokens at the length of the cache.",
        ("rope",),
        tuple(
            {"+rotate": rotary_after(turn, 1e4, whole, queries, keys)}
            for whole, queries, keys in (
                (False, False, False),
                (True, False, True),
                (False, True, False),
                (False, False, True),
            )
            for turn in (rotated_halves, rotated_neighbours)
        ),
    ),
    Mistake(
        "rope-on-values",
        "The values are rotated, too or in place of the keys.",
        ROTATION,
        "The output is rotated by the positions of the tokens that were attended to.",
        "Rotate queries and keys, and leave the values as they are.",
        ("rope",),
        (*rotations("qkv"), *rotations("qv")),
        reported_in=("annotated_deep_learning_paper_implementations#251",),
    ),
    Mistake(
        "bias-before-scale",
        "The bias is added before the scale, so that it is scaled too.",
        BIAS,
        "The bias has √d times less influence than it should have.",
        "Add the bias to the scaled logits.",
        ("bias", "scale", "logits"),
        (
            {"logits": bias_first, "bias": nothing},
            *({"+bias": slopes_first(both_sides, own)} for own in SLOPES for both_sides in (True, False)),
        ),
        reported_in=("OpenSeq2Seq#76", "tt-metal#55337"),
    ),
    Mistake(
        "bias-transposed",
        "The bias is added with its axes exchanged: bias[m, n] where bias[n, m] is meant.",
        BIAS,
        "A symmetric bias hides it.",
        "The bias's last axis is the keys'.",
        ("bias", "logits"),
        ({"bias": bias_turned},),
        reported_in=("nntrainer#3982",),
    ),
    Mistake(
        "bias-not-broadcast",
        "The bias, or the slope, of the first head is used for every head.",
        "S_h[n, m] = Q_h[n] · K_h[m] / √d + bias[h, n, m]",
        "The biases of the other heads have no influence.",
        "Broadcast the bias against the logits instead of taking its first element.",
        ("bias", "logits"),
        tuple({"bias": of_first(array)} for array in ("bias", "slopes")),
    ),
    Mistake(
        "alibi-sign",
        "The linear position bias (ALiBi) grows with the distance instead of falling.",
        "S[n, m] = Q[n] · K[m] / √d − slope_h · |n − m|",
        "Far tokens get the more weight, the farther they are.",
        "Subtract the distance times the slope.",
        ("bias", "logits"),
        tuple({"+bias": alibi(both_sides, own, sign=1.0)} for own in SLOPES for both_sides in (True, False))
        + tuple({"bias": growing_by_slopes(symmetric)} for symmetric in (True, False)),
        reported_in=("attention-gym#86", "annotated_deep_learning_paper_implementations#226"),
    ),
    Mistake(
        "qk-norm-across-heads",
        "Queries and keys are normalised over all heads together instead of head by head.",
        "q_h ← q_h / rms(q_h) for each head h, and likewise the keys",
        "With one head both are the same; with several, a large head shrinks the others.",
        "Split into heads first, then normalise over the last axis.",
        ("norm", "split"),
        tuple({"+split": norm_of_all_heads(centred, eps)} for centred in (False, True) for eps in (1e-6, 1e-5, 1e-8)),
        reported_in=("Lumina-T2X#112", "gpt-neox#1367"),
    ),
)
