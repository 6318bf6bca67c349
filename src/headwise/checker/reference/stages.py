"""The stages of the reference with which it follows a convention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from headwise.checker.reference.definition import distances, ends, rotated_halves, rotated_neighbours, row_sums
from headwise.checker.reference.state import Stage, Trace, configurable
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array, BoolArray

Turn: TypeAlias = Callable[[Array, Array, Array], Array]  # of an array, cosines and sines
Slopes: TypeAlias = Callable[[int], Array]  # of so many heads, (H, 1, 1)
Norm: TypeAlias = Callable[[Array, float], Array]  # of an array, and a number so that nothing is divided by zero


def slopes(heads: int) -> Array:
    """The slopes of ALiBi (Press et al., 2022, section 3): 2^(−8/H), 2^(−16/H), …, 2^(−8), (H, 1, 1)."""
    return 2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)[:, None, None]


def interleaved_slopes(heads: int) -> Array:
    """The slopes in the code of the paper's authors: those of a power of 2, then every other one of twice as many."""
    power = 2 ** (heads.bit_length() - 1)
    return np.concatenate([slopes(power), slopes(2 * power)[::2][: heads - power]])


@configurable
def alibi(t: Trace, symmetric: bool, slopes_of: Slopes = slopes, sign: float = -1.0) -> None:
    """Add a bias that falls with the distance of key and query, by a slope for each head."""
    t.s = t.s + sign * slopes_of(t.s.shape[1]) * distances(t, symmetric)


SLOPES = (slopes, interleaved_slopes)


def signed_distances(t: Trace) -> None:
    """Multiply the slopes by signed distances."""
    if "bias" in t.case:
        t.s = t.s + t.case["bias"]
    if "slopes" in t.case:
        t.s = t.s - t.case["slopes"] * distances(t, symmetric=False)


def scale_that_divides(t: Trace) -> None:
    """Divide the logits by the scale."""
    divisor = t.case.get("scale")
    t.scale = t.q.shape[-1] ** -0.5 if divisor is None else 1 / divisor


def temperature_alone(t: Trace) -> None:
    """Divide the logits by the temperature in place of √d."""
    temperature = t.case.get("temperature")
    t.scale = t.q.shape[-1] ** -0.5 if temperature is None else 1 / temperature


_PAIRS: dict[Turn, str] = {rotated_halves: "pairs (i, i + d/2)", rotated_neighbours: "pairs (2i, 2i + 1)"}


def pairs_of(stage: Stage | None) -> str:
    """Which features a stage rotates together, in words; nothing if that is not known."""
    turn = turn_of(stage)
    return _PAIRS.get(turn, "") if turn else ""


def turn_of(stage: Stage | None) -> Turn | None:
    """How a stage rotates features; None if it does not, or that is not known."""
    return stage.keywords.get("turn") if isinstance(stage, partial) else None


def rotary(turn: Turn, base: float, part: int = 1) -> Stage:
    """Rotate the first d/part features of queries and keys."""
    return partial(_rotate, turn=turn, base=base, part=part)


def _rotate(t: Trace, turn: Turn, base: float, part: int) -> None:
    t.q, t.k = (_at_positions(a, 0, turn, base, part) for a in (t.q, t.k))


def rotary_without_context(turn: Turn, base: float) -> Stage:
    """As `rotary`, where keys and values are of the same tokens as queries."""
    return partial(_rotate_without_context, turn=turn, base=base)


def _rotate_without_context(t: Trace, turn: Turn, base: float) -> None:
    if "context" not in t.case:
        _rotate(t, turn, base, 1)


def rotary_after(turn: Turn, base: float, whole: bool, queries: bool = True, keys: bool = True) -> Stage:
    """Rotate queries that are the last tokens, and the keys of these tokens or (`whole`) of all.

    `queries`, `keys`: whether those of new tokens are rotated by their positions, or as if these were the first.
    """
    return partial(_rotate_after, turn=turn, base=base, whole=whole, queries=queries, keys=keys)


def _rotate_after(t: Trace, turn: Turn, base: float, whole: bool, queries: bool, keys: bool) -> None:
    n, m = t.q.shape[-2], t.k.shape[-2]
    first = 0 if whole else max(0, m - n)
    rotated_keys = _at_positions(t.k[..., first:, :], first * keys, turn, base)
    t.q = _at_positions(t.q, (m - n) * queries, turn, base)
    t.k = np.concatenate([t.k[..., :first, :], rotated_keys], axis=-2)


def _at_positions(a: Array, first: int, turn: Turn, base: float, part: int = 1) -> Array:
    d = a.shape[-1] // part
    angles = np.arange(first, first + a.shape[-2])[:, None] * base ** (-np.arange(0, d, 2) / d)
    return np.concatenate([turn(a[..., :d], np.cos(angles), np.sin(angles)), a[..., d:]], axis=-1)


@configurable
def normalized(t: Trace, norm: Norm, eps: float) -> None:
    """Normalise queries and keys."""
    t.q, t.k = norm(t.q, eps), norm(t.k, eps)


def rms(a: Array, eps: float) -> Array:
    """Divide by the root of the mean square."""
    return np.asarray(a / np.sqrt((a**2).mean(axis=-1, keepdims=True) + eps))


def unit(a: Array, eps: float) -> Array:
    """Divide by the length, or by `eps` where that is larger."""
    return np.asarray(a / np.maximum(np.sqrt((a**2).sum(axis=-1, keepdims=True)), eps))


def unit_plus(a: Array, eps: float) -> Array:
    """Divide by the length and `eps`."""
    return np.asarray(a / (np.sqrt((a**2).sum(axis=-1, keepdims=True)) + eps))


def standard(a: Array, eps: float) -> Array:
    """Subtract the mean, and divide by the standard deviation."""
    centered = a - a.mean(axis=-1, keepdims=True)
    return np.asarray(centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + eps))


def one_more(t: Trace) -> None:
    """Let a logit of zero without a value take part in the softmax."""
    t.sink = np.zeros((1, 1, 1, 1))


@configurable
def divided_with(t: Trace, eps: float) -> None:
    """Divide by the sum of the exponentials and `eps`."""
    t.p = t.e / (row_sums(t) + eps)


def unhidden(t: Trace) -> None:
    """Leave the logits of hidden keys as they are, which take part in the maximum."""


def without_hidden(t: Trace) -> None:
    """Give hidden keys no weight after the exponential."""
    if t.see is not None:
        t.e = np.where(t.see, t.e, 0)


def one_mask(t: Trace) -> None:
    """Leave out the mask of the tokens where there is a context, and else the mask of the context."""
    other = "padding" if t.context is None else "mask"
    t.case = {name: value for name, value in t.case.items() if name != other}


def mask_of_tokens_last(t: Trace) -> None:
    """Leave out the mask of the tokens where there is a context, or the mask of one."""
    if t.context is not None or "padding" in t.case:
        t.case = {name: value for name, value in t.case.items() if name != "mask"}


def visible_queries(t: Trace) -> Iterator[BoolArray]:
    """Which queries are no padding, (B, H, N, 1) or what broadcasts to it, by each argument that hides keys."""
    n, m = t.s.shape[-2:]
    if t.context is not None or n != m:
        return
    for name in ("mask", "padding"):
        mask = t.case.get(name)
        if mask is not None and mask.shape[-2] == 1 and mask.shape[-1] == n:
            yield mask.swapaxes(-1, -2)
    if "lengths" in t.case:
        yield np.arange(n)[:, None] < t.case["lengths"][:, None, None, None]


def hide_queries_too(t: Trace) -> None:
    """Let a query that padding hides as a key see nothing."""
    for visible in visible_queries(t):
        t.hide(visible)


def zero_padding(t: Trace) -> None:
    """Let the output of a query that padding hides as a key be zero."""
    for visible in visible_queries(t):
        t.o = np.where(visible if t.o.ndim == 4 else visible[:, 0], t.o, 0)


def hide_own_key(t: Trace) -> None:
    """Hide a token from itself, unless the function is causal: there that is a mistake."""
    n, m = t.s.shape[-2:]
    if n == m and t.context is None and not t.case.get("causal"):
        t.hide(~np.eye(n, dtype=bool))


def show_own_key(t: Trace) -> None:
    """Let a token see itself, whatever its mask says, as where self-loops are added to an adjacency matrix."""
    n, m = t.s.shape[-2:]
    if "mask" in t.case and t.see is not None and n == m and t.context is None:
        t.see = t.see | np.eye(n, dtype=bool)


@configurable
def capped_at(t: Trace, cap: float) -> None:
    """Cap the logits as if the softcap were passed."""
    t.case = t.case | {"softcap": cap}


@configurable
def squashed(t: Trace, factor: float) -> None:
    """Let the logits be factor · tanh(s), as in pointer networks."""
    t.s = factor * np.tanh(t.s)


@configurable
def constant_scale(t: Trace, factor: float) -> None:
    """Multiply the logits by this factor, whatever the width."""
    t.scale = factor


def unscaled(t: Trace) -> None:
    """Leave the logits as they are, but for a temperature."""
    t.scale = 1 / t.case.get("temperature", 1.0)


def aligned_with_last(t: Trace) -> None:
    """Align the last query with the last key."""
    t.offset = ends(t) - t.s.shape[-2]


@configurable
def joined(t: Trace, context_first: bool) -> None:
    """Keys and values of the context and of the tokens, one after the other."""
    if t.of_tokens and t.context is not None:
        for name in {"mask", "padding"} & t.case.keys():
            mask = t.case[name]  # of the context; all tokens are visible
            own = np.ones((*mask.shape[:-1], t.X.shape[1]), bool)
            masks = (mask, own) if context_first else (own, mask)
            t.case = t.case | {name: np.concatenate(masks, axis=-1)}
        both = (t.context, t.X) if context_first else (t.X, t.context)
        t.context = np.concatenate(both, axis=1)


NORMS = [
    *(normalized(rms, eps) for eps in (1e-6, 1e-5, 1e-8, float(np.finfo(float).eps))),  # the last is torch's own
    *(normalized(unit, eps) for eps in (1e-12, 1e-6)),
    *(normalized(unit_plus, eps) for eps in (1e-6, 1e-8)),
    *(normalized(standard, eps) for eps in (1e-5, 1e-6)),
]
