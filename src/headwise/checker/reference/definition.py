"""The definition of attention as a row of small stages, any of which a mistake can replace.

`evaluate` runs the stages on one case. A mistake is a mapping from the name of a stage to what stands there instead;
``"+name"`` adds something after a stage and leaves the stage as it is. Two mistakes combine where they do not replace
the same stage.

A case is a dict of arguments by their usual names, in one fixed layout: tokens X (B, N, D) with weights (out, in), or
q (B, H, N, d), k (B, G, M, d), v (B, G, M, e). Letters as everywhere: B batch, H heads, N queries, M keys. Tokens may
come with a `context` (B, M, C) that keys and values are made from, or with `values` (B, M, C) of their own next to it,
and with `key_heads`, the number G of key heads.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from headwise.checker.reference.state import Case, Change, Result, Stage, Stages, Trace
from headwise.checker.reference.steps import steps_of
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array


def arrange(t: Trace) -> None:
    """Put every argument in its place."""
    c = t.case
    t.heads = c.get("heads", 1)
    t.key_heads = c.get("key_heads", t.heads)
    t.sink = c["sinks"][..., None, None] if "sinks" in c else None
    if t.of_tokens:
        t.X, t.context, t.values = c["X"], c.get("context"), c.get("values")
        t.W = {x: c[f"W{x}"] for x in "qkvo" if f"W{x}" in c}
        t.b = {x: c[f"b{x}"] for x in "qkvo" if f"b{x}" in c}
    else:
        t.q, t.k, t.v = c["q"], c["k"], c["v"]


def project(t: Trace) -> None:
    """Q = X Wqᵀ + bq, and likewise K and V, of the context where there is one."""
    if t.of_tokens:
        t.q, t.k, t.v = (t.source(x) @ t.W[x].T + t.b.get(x, 0) for x in "qkv")


def split(t: Trace) -> None:
    """(B, N, H·d) -> (B, H, N, d): head h owns a run of d columns."""
    if t.of_tokens:
        heads = (t.heads, t.key_heads, t.key_heads)
        t.q, t.k, t.v = (
            a.reshape(*a.shape[:2], h, -1).swapaxes(1, 2) for a, h in zip((t.q, t.k, t.v), heads, strict=True)
        )


def rotate(t: Trace) -> None:
    """Rotary positions: pairs (i, i + d/2), or (2i, 2i + 1) if `interleaved` is set."""
    if "cos" in t.case:
        turn = rotated_neighbours if t.case.get("interleaved") else rotated_halves
        t.q, t.k = (turn(a, t.case["cos"], t.case["sin"]) for a in (t.q, t.k))


def group(t: Trace) -> None:
    """(B, G, M, d) -> (B, H, M, d): query head h reads key head h // (H/G)."""
    times = t.q.shape[1] // t.k.shape[1]
    if times > 1:
        t.k, t.v = np.repeat(t.k, times, axis=1), np.repeat(t.v, times, axis=1)


def scale(t: Trace) -> None:
    """1/√d, d being the width of one head, unless another is passed; divided by the temperature."""
    scale = np.exp(t.case["logscale"]) if "logscale" in t.case else t.case.get("scale")
    t.scale = (t.q.shape[-1] ** -0.5 if scale is None else scale) / t.case.get("temperature", 1.0)


def logits(t: Trace) -> None:
    """S = scale · Q Kᵀ; Q W Kᵀ with a matrix of the scores, or tanh(Q U + K V) a with two and a vector."""
    if "Sa" in t.case:
        sums = (t.q @ t.case["Sq"])[..., :, None, :] + (t.k @ t.case["Sk"])[..., None, :, :]
        t.s = np.tanh(sums) @ t.case["Sa"]
        return
    q = t.q @ t.case["Ss"] if "Ss" in t.case else t.q
    t.s = q @ t.k.swapaxes(-1, -2) * t.scale


def cap(t: Trace) -> None:
    """C · tanh(s / c)."""
    c = t.case.get("softcap")
    if c is not None:
        t.s = c * np.tanh(t.s / c)


def bias(t: Trace) -> None:
    """Add the bias, and subtract the distance of query and key times the slope of the head."""
    if "bias" in t.case:
        t.s = t.s + t.case["bias"]
    if "slopes" in t.case:
        t.s = t.s - t.case["slopes"] * distances(t)


def mask(t: Trace) -> None:
    """True attends."""
    if "mask" in t.case:
        t.hide(t.case["mask"])


def padding(t: Trace) -> None:
    """A mask of keys that is an argument of its own, next to one of queries and keys; True attends."""
    if "padding" in t.case:
        t.hide(t.case["padding"])


def align(t: Trace) -> None:
    """First query with first key, or last query with last valid key."""
    if t.case.get("align") == "end":
        t.offset = ends(t) - t.s.shape[-2]


def causal(t: Trace) -> None:
    """A query sees keys up to the one that it is aligned with."""
    if t.case.get("causal"):
        n, m = t.grid()
        t.hide(or_in_prefix(t, m <= n))


def or_in_prefix(t: Trace, visible: Any) -> Any:
    """What a causal query sees, and the keys of the prefix, which every query sees."""
    if "prefix" not in t.case:
        return visible
    return visible | (np.arange(t.s.shape[-1]) < t.case["prefix"][:, None, None, None])


def segments(t: Trace) -> None:
    """Sequences packed into one: a query sees the keys of its own."""
    if "segments" in t.case:
        segment = t.case["segments"][:, None]
        t.hide(segment[..., :, None] == segment[..., None, :])


def window(t: Trace) -> None:
    """A query sees `left` keys before the one that it is aligned with, and `right` after it."""
    windowed(t, 0, 0)


def lengths(t: Trace) -> None:
    """Keys past an item's length are hidden."""
    if "lengths" in t.case:
        t.hide(np.arange(t.s.shape[-1]) < ends(t))


def topk(t: Trace) -> None:
    """A query sees the keys with the so many largest of its logits."""
    if "topk" in t.case:
        s = t.s if t.see is None else np.where(t.see, t.s, -np.inf)
        t.hide(s >= np.sort(s, axis=-1)[..., -min(t.case["topk"], s.shape[-1]), None])


def hide(t: Trace) -> None:
    """Hidden logits become −∞."""
    if t.see is not None:
        t.s = np.where(t.see, t.s, -np.inf)


def shift(t: Trace) -> None:
    """Subtract the maximum, so that exp cannot overflow."""
    top = t.s.max(axis=t.axis, keepdims=True)
    top = np.where(np.isneginf(top), 0, top)
    if t.sink is not None:
        top = np.maximum(top, t.sink)
        t.sink = t.sink - top
    t.s = t.s - top


def exponentiate(t: Trace) -> None:
    """exp(s)."""
    t.e = t.power(t.s)


def row_sums(t: Trace) -> Array:
    """The sums by which the exponentials are divided, with the sinks' share."""
    return np.asarray(t.e.sum(axis=t.axis, keepdims=True) + (0 if t.sink is None else t.power(t.sink)))


def divide(t: Trace) -> None:
    """Divide by the sum; a row with nothing to attend to stays zero."""
    total = row_sums(t)
    t.p = t.e / np.where(total == 0, 1, total)


def clean(t: Trace) -> None:
    """Nothing: a place for what people do to the values before they are mixed."""


def mix(t: Trace) -> None:
    """O = P V, without the keys that a query may not see, whatever they hold."""
    if t.see is None or np.isfinite(t.v.sum()):
        t.o = t.p @ t.v
    else:
        counts = (np.broadcast_to(t.see, t.p.shape) | (t.p != 0))[..., None]  # (B, H, N, M, 1)
        t.o = np.where(counts, t.p[..., None] * t.v[:, :, None], 0).sum(axis=-2)


def merge(t: Trace) -> None:
    """(B, H, N, e) -> (B, N, H·e)."""
    if t.of_tokens:
        t.o = t.o.swapaxes(1, 2).reshape(t.o.shape[0], t.o.shape[2], -1)


def output(t: Trace) -> None:
    """O Woᵀ + bo."""
    if t.of_tokens:
        t.o = (t.o @ t.W["o"].T if "o" in t.W else t.o) + t.b.get("o", 0)


def finish(t: Trace) -> None:
    """Nothing comes after."""


STAGES: dict[str, Stage] = {
    stage.__name__: stage
    for stage in (
        *(
            arrange,
            project,
            split,
            rotate,
            group,
            scale,
            logits,
            cap,
            bias,
            mask,
            padding,
            segments,
            align,
            causal,
            window,
            lengths,
            topk,
        ),
        *(hide, shift, exponentiate, divide, clean, mix, merge, output, finish),
    )
}


def build(changes: Iterable[Change] = ()) -> Stages:
    """The stages in order, with the changes put in."""
    stages, added = list(_STAGES), []
    for change in changes:
        for name, stage in change.items():
            if name[0] == "+":
                added.append((_PLACES[name[1:]], stage))
            else:
                stages[_PLACES[name]] = stage
    for place, stage in sorted(reversed(added), key=itemgetter(0), reverse=True):  # the first of a place comes first
        stages.insert(place + 1, stage)
    return tuple(stages)


def last_change(stages: Stages) -> int:
    """The place of the last stage that is not the definition's."""
    return next((place for place in reversed(range(len(stages))) if stages[place] not in _DEFINITION), 0)


def replaced(changes: Iterable[Change]) -> frozenset[str]:
    """The stages in whose place changes put others."""
    return frozenset(name for change in changes for name in change if name[0] != "+")


def _note_weights(t: Trace) -> None:
    if not (t.weights and t.weights[-1] is t.p):
        t.weights = (*t.weights, t.p)


# what is noted is the softmax's own weights, and those that mix the values
_STAGES = [
    one
    for name, stage in STAGES.items()
    for one in ((stage, _note_weights) if name in ("divide", "clean") else (stage,))
]
_DEFINITION = frozenset(_STAGES)
_PLACES = {name: _STAGES.index(stage) for name, stage in STAGES.items()}


def evaluate(case: Case, stages: Stages, in_type: str = "float64") -> Result | None:
    """Run the stages in a type, whatever that of the arguments.

    None where shapes do not fit, as for a mistake that cannot be made on this case.
    """
    with np.errstate(all="ignore"):
        return steps_of(case, in_type).run(stages, len(stages))


def mix_values(case: Case, weights: Array) -> Array:
    """The output for attention weights (B, H, N, M) that are already known."""
    t = Trace(case)
    for stage in (arrange, project, split, group):
        stage(t)
    t.p, t.see = weights, weights != 0
    for stage in (mix, merge, output):
        stage(t)
    return t.o


def distances(t: Trace, symmetric: bool = True) -> Any:
    """How far keys are from the queries' positions (N, M); negative for later keys if not symmetric."""
    n, m = t.grid()
    return np.abs(n - m) if symmetric else n - m


def ends(t: Trace) -> Any:
    """One past the last valid key of each item, (B, 1, 1, 1)."""
    return t.case["lengths"][:, None, None, None] if "lengths" in t.case else t.s.shape[-1]


def windowed(t: Trace, more_left: int, more_right: int) -> None:
    """Hide what is outside the window, with each side moved by so much."""
    left, right = t.case.get("window") or (None, None)
    n, m = t.grid() if (left, right) != (None, None) else (0, 0)
    if left is not None:
        t.hide(m >= n - left - more_left)
    if right is not None:
        t.hide(m <= n + right + more_right)


def every_key(t: Trace) -> None:
    """O = P V as it stands: a weight of zero does not keep a NaN out."""
    t.o = t.p @ t.v


def unseen_zeroed(t: Trace) -> None:
    """Zero the values that no query may see: right, and a habit that shows next to a mistake."""
    if t.see is not None:
        attended = np.asarray(np.broadcast_to(t.see, t.s.shape).any(axis=-2, keepdims=True))  # (B, H, 1, M)
        t.v = np.where(attended.swapaxes(-1, -2), t.v, 0)


# ways to write the definition that give the same outputs, but other outputs together with a mistake
EQUIVALENT_VARIANTS: tuple[Change, ...] = ({}, {"clean": unseen_zeroed, "mix": every_key})


def rotated_halves(a: Array, cos: Array, sin: Array) -> Array:
    """Rotate the pairs (i, i + d/2) of (..., N, d) by angles (N, d/2)."""
    x, y = np.split(a, 2, axis=-1)
    return np.concatenate([x * cos - y * sin, y * cos + x * sin], axis=-1)


def rotated_neighbours(a: Array, cos: Array, sin: Array) -> Array:
    """Rotate the pairs (2i, 2i + 1) of (..., N, d) by angles (N, d/2)."""
    x, y = a[..., ::2], a[..., 1::2]
    return np.stack([x * cos - y * sin, y * cos + x * sin], axis=-1).reshape(a.shape)
