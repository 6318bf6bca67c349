"""Conventions: choices that are neither right nor wrong, and that a verdict reports before its mistakes.

Some are ways of calling a function, such as the orientation of its matrices. The others are parts of the operation
itself, such as rotary positions; like mistakes they are changes of the reference, and the search finds them in the same
way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from headwise.checker.numpy_guard import np
from headwise.checker.reference import distances, ends, rotated_halves, rotated_neighbours, row_sums
from headwise.checker.state import Change, Stage, Trace
from headwise.errors import DataError
from headwise.shapes import Array, BoolArray

__all__ = ["CONVENTIONS", "Convention", "Requirements"]


@dataclass(frozen=True, slots=True)
class Convention:
    """One convention.

    Attributes
    ----------
    code : str
        Its stable name.
    phrase : str
        The convention in a few words, which can follow "right, with".
    changes : tuple of Change
        The reference with this convention, in the variants in use; empty for a way of calling.
    of_positions : bool
        Whether the changes depend on the positions of the tokens.
    untested : str
        What the check cannot know where a function follows it.
    """

    code: str
    phrase: str
    changes: tuple[Change, ...] = ()
    of_positions: bool = False
    untested: str = ""


def slopes(heads: int) -> Array:
    """The slopes of ALiBi (Press et al., 2022, section 3): 2^(−8/H), 2^(−16/H), …, 2^(−8), (H, 1, 1)."""
    return 2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)[:, None, None]


def interleaved_slopes(heads: int) -> Array:
    """The slopes in the code of the paper's authors: those of a power of 2, then every other one of twice as many."""
    power = 2 ** (heads.bit_length() - 1)
    return np.concatenate([slopes(power), slopes(2 * power)[::2][: heads - power]])


def alibi(symmetric: bool, slopes_of: Callable[[int], Array] = slopes, sign: float = -1.0) -> Stage:
    def add(t: Trace) -> None:
        t.s = t.s + sign * slopes_of(t.s.shape[1]) * distances(t, symmetric)

    return add


SLOPES = (slopes, interleaved_slopes)


def signed_distances(t: Trace) -> None:
    if "bias" in t.case:
        t.s = t.s + t.case["bias"]
    if "slopes" in t.case:
        t.s = t.s - t.case["slopes"] * distances(t, symmetric=False)


def scale_that_divides(t: Trace) -> None:
    divisor = t.case.get("scale")
    t.scale = t.q.shape[-1] ** -0.5 if divisor is None else 1 / divisor


def temperature_alone(t: Trace) -> None:
    temperature = t.case.get("temperature")
    t.scale = t.q.shape[-1] ** -0.5 if temperature is None else 1 / temperature


def rotary(turn: Callable[[Array, Array, Array], Array], base: float, part: int = 1) -> Stage:
    """Rotate the first d/part features of queries and keys."""

    def rotate(t: Trace) -> None:
        t.q, t.k = (_at_positions(a, 0, turn, base, part) for a in (t.q, t.k))

    return rotate


def rotary_after(turn: Callable[[Array, Array, Array], Array], base: float, whole: bool) -> Stage:
    """Rotate queries that are the last tokens, and the keys of these tokens or (`whole`) of all."""

    def rotate(t: Trace) -> None:
        n, m = t.q.shape[-2], t.k.shape[-2]
        first = 0 if whole else max(0, m - n)
        keys = _at_positions(t.k[..., first:, :], first, turn, base)
        t.q, t.k = _at_positions(t.q, m - n, turn, base), np.concatenate([t.k[..., :first, :], keys], axis=-2)

    return rotate


def _at_positions(
    a: Array, first: int, turn: Callable[[Array, Array, Array], Array], base: float, part: int = 1
) -> Array:
    d = a.shape[-1] // part
    angles = np.arange(first, first + a.shape[-2])[:, None] * base ** (-np.arange(0, d, 2) / d)
    return np.concatenate([turn(a[..., :d], np.cos(angles), np.sin(angles)), a[..., d:]], axis=-1)


def normalized(norm: Callable[[Array, float], Array], eps: float) -> Stage:
    def normalize(t: Trace) -> None:
        t.q, t.k = norm(t.q, eps), norm(t.k, eps)

    return normalize


def rms(a: Array, eps: float) -> Array:
    return np.asarray(a / np.sqrt((a**2).mean(axis=-1, keepdims=True) + eps))


def unit(a: Array, eps: float) -> Array:
    return np.asarray(a / np.maximum(np.sqrt((a**2).sum(axis=-1, keepdims=True)), eps))


def unit_plus(a: Array, eps: float) -> Array:
    return np.asarray(a / (np.sqrt((a**2).sum(axis=-1, keepdims=True)) + eps))


def standard(a: Array, eps: float) -> Array:
    centered = a - a.mean(axis=-1, keepdims=True)
    return np.asarray(centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + eps))


def one_more(t: Trace) -> None:
    t.sink = np.zeros((1, 1, 1, 1))


def divided_with(eps: float) -> Stage:
    def divide(t: Trace) -> None:
        t.p = t.e / (row_sums(t) + eps)

    return divide


def unhidden(t: Trace) -> None:
    """Leave the logits of hidden keys as they are, which take part in the maximum."""


def without_hidden(t: Trace) -> None:
    if t.see is not None:
        t.e = np.where(t.see, t.e, 0)


def one_mask(t: Trace) -> None:
    """Leave out the mask of the tokens where there is a context, and else the mask of the context."""
    other = "padding" if t.context is None else "mask"
    t.case = {name: value for name, value in t.case.items() if name != other}


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


def unscaled(t: Trace) -> None:
    t.scale = 1.0


def aligned_with_last(t: Trace) -> None:
    t.offset = ends(t) - t.s.shape[-2]


def joined(context_first: bool) -> Stage:
    """Keys and values of the context and of the tokens, one after the other."""

    def join(t: Trace) -> None:
        if t.of_tokens and t.context is not None:
            both = (t.context, t.X) if context_first else (t.X, t.context)
            t.context = np.concatenate(both, axis=1)

    return join


_NORMS = [
    *(normalized(rms, eps) for eps in (1e-6, 1e-5, 1e-8, float(np.finfo(float).eps))),  # the last is torch's own
    *(normalized(unit, eps) for eps in (1e-12, 1e-6)),
    *(normalized(unit_plus, eps) for eps in (1e-6, 1e-8)),
    *(normalized(standard, eps) for eps in (1e-5, 1e-6)),
]

CONVENTIONS = {
    convention.code: convention
    for convention in (
        Convention("weights-in-out", "(in, out) matrices"),
        Convention("tokens-before-heads", "tokens before heads"),
        Convention("tokens-before-batch", "tokens before the batch"),
        Convention("tokens-as-columns", "tokens as columns"),
        Convention("heads-stacked", "one matrix for each head"),
        Convention("weights-fused", "several projections in one matrix"),
        Convention("mask-hides", "True = hidden"),
        Convention("mask-additive", "a mask of numbers that are added"),
        Convention("padding-hides", "True = padding"),
        Convention("window-as-number", "a window given as one number"),
        Convention("bias-table", "a bias given as a table of distances"),
        Convention("output-tokens-first", "an output with tokens before heads"),
        Convention("output-merged", "an output with the heads side by side"),
        Convention("weights-only", "the attention weights alone, and no output"),
        Convention(
            "context-and-tokens",
            "keys and values from the context and the tokens together",
            ({"+arrange": joined(True)}, {"+arrange": joined(False)}),
        ),
        Convention(
            "masks-apart",
            "one mask for its tokens and another for its context",
            ({"+arrange": one_mask}, {"+arrange": one_mask, "+mask": hide_queries_too}),
        ),
        Convention(
            "padding-hides-queries",
            "padding that hides queries too",
            ({"+mask": hide_queries_too}, {"+finish": zero_padding}),
        ),
        Convention(
            "own-key-hidden",
            "tokens that do not see themselves",
            ({"+mask": hide_own_key},),
            untested="whether tokens are meant not to see themselves",
        ),
        Convention("keys-cached", "keys and values of earlier tokens in a cache"),
        Convention("kv-packed", "keys and values in one array"),
        Convention("qkv-packed", "queries, keys and values in one array"),
        Convention("unprojected", "its tokens themselves as queries, keys and values"),
        Convention("unscaled", "logits without a scale", ({"scale": unscaled},)),
        Convention("equal-lengths", "only as many keys as queries"),
        Convention("equal-widths", "square matrices only: it is right where Wq, Wk and Wv are D × D"),
        Convention("float32", "float32 computation"),
        Convention("causal-unasked", "causal by construction"),
        Convention("causal-without-mask", "causal where no mask is passed"),
        Convention("window-built-in", "a built-in window"),
        Convention(
            "pattern-built-in",
            "a built-in pattern of the keys that a query sees",
            of_positions=True,
            untested="whether these are the keys that a query is meant to see",
        ),
        Convention("causal-aligned-end", "the last query aligned with the last key", ({"align": aligned_with_last},)),
        Convention("scale-divides", "a scale that divides the logits", ({"scale": scale_that_divides},)),
        Convention("temperature", "a temperature in place of √d", ({"scale": temperature_alone},)),
        Convention(
            "alibi",
            "ALiBi",
            tuple({"+bias": alibi(symmetric=True, slopes_of=own)} for own in SLOPES),
            of_positions=True,
        ),
        Convention(
            "signed-distances",
            "a linear bias that grows for later keys",
            (
                {"bias": signed_distances},
                *({"+bias": alibi(symmetric=False, slopes_of=own)} for own in SLOPES),
            ),
            of_positions=True,
        ),
        Convention(
            "rope",
            "rotary positions",
            tuple(
                {"+rotate": rotary(turn, base, part)}
                for base, part in ((1e4, 1), (5e5, 1), (1e6, 1), (1e4, 4), (1e4, 2))
                for turn in (rotated_halves, rotated_neighbours)
            ),
            of_positions=True,
        ),
        Convention(
            "rope-cached",
            "rotary positions, and a cache of rotated keys",
            tuple(
                {"+rotate": rotary_after(turn, base, whole)}
                for base in (1e4, 5e5, 1e6)
                for whole in (False, True)
                for turn in (rotated_halves, rotated_neighbours)
            ),
            of_positions=True,
        ),
        Convention(
            "rope-by-head",
            "rotary positions, with angles of its own in each head",
            of_positions=True,
            untested="whether angles of its own in each head are meant",
        ),
        Convention("position-bias", "a bias of positions", of_positions=True),
        Convention("qk-norm", "normalised queries and keys", tuple({"+split": norm} for norm in _NORMS)),
        Convention(
            "qk-norm-of-all-heads",
            "queries and keys normalised over all heads together",
            untested="whether queries and keys are meant to be normalised over all heads together",
        ),
        Convention("softcap-built-in", "a built-in softcap of the logits"),
        Convention("scale-learned", "a learned scale of the logits"),
        Convention(
            "softmax-epsilon",
            "a small number added to the softmax's denominator",
            tuple(
                {"divide": divided_with(eps), **hiding}
                for hiding in ({}, {"hide": unhidden, "+exponentiate": without_hidden})
                for eps in (1e-8, 1e-6, 1e-5, 1e-7, 1e-9, 1e-10, 1e-12)
            ),
        ),
        Convention("softmax-plus-one", "one more in the softmax's denominator", ({"+hide": one_more},)),
        Convention("positions-inside", "positions added to its tokens", of_positions=True),
        Convention("sinks", "attention sinks"),
        Convention("registers", "learned tokens among its keys"),
        Convention("keys-latent", "keys and values made from a latent vector"),
        Convention("keys-reduced", "keys and values of a smaller image", of_positions=True),
        Convention("gated", "a gate on its output"),
        Convention("set-block", "the residual connections of a Set Transformer"),
        Convention("norm-inside", "a norm of its own"),
        Convention("residual-inside", "a residual connection of its own"),
        Convention(
            "residual-normalised", "a residual connection of the normalised tokens in place of those it is given"
        ),
    )
}
# what a requirement may be called besides the convention itself: the default that it excludes
_DEFAULTS = {
    "weights-out-in": ("matrices", "out-in"),
    "mask-attends": ("mask", "attends"),
    "heads-before-tokens": ("axes", "BHNd"),
    "tokens-as-rows": ("axes", "ND"),
    "weights-in-out": ("matrices", "in-out"),
    "mask-hides": ("mask", "hides"),
    "mask-additive": ("mask", "adds"),
    "padding-hides": ("padding", "hides"),
    "padding-attends": ("padding", "attends"),
    "tokens-before-heads": ("axes", "BNHd"),
    "tokens-as-columns": ("axes", "DN"),
    "tokens-before-batch": ("axes", "NBD"),
    "causal": ("causal", "yes"),
}


@dataclass(frozen=True, slots=True)
class Requirements:
    """What the caller requires of a function's conventions; an empty string leaves it to be detected."""

    matrices: str = ""  # the orientation of the matrices
    # what True means in a mask
    mask: str = ""
    padding: str = ""
    axes: str = ""  # the layout, as in ``"BNHd"`` or ``"DN"``
    causal: str = ""  # whether it has to be causal by construction
    args: tuple[str, ...] = ()  # what its positional arguments are, in order; empty to infer it from their names

    @classmethod
    def of(
        cls,
        weights: str = "any",
        mask: str = "any",
        convention: str | Iterable[str] = (),
        args: str | Iterable[str] = (),
    ) -> Requirements:
        """From the options of a check.

        Raises DataError if one of them is not known.
        """
        fields: dict[str, str] = {}
        for name, value, allowed in (
            ("weights", weights, ("in-out", "out-in")),
            ("mask", mask, ("hides", "attends", "adds")),
        ):
            if value not in ("any", *allowed):
                raise DataError(f"{name}: expected one of {', '.join(allowed)}, any; got {value!r}.")
            if value != "any":
                fields["matrices" if name == "weights" else name] = value
        for code in [convention] if isinstance(convention, str) else convention:
            if code not in _DEFAULTS:
                raise DataError(f"convention: expected some of {', '.join(_DEFAULTS)}; got {code!r}.")
            name, value = _DEFAULTS[code]
            fields[name] = value
        order = tuple(a.strip() for a in (args.split(",") if isinstance(args, str) else args) if a.strip())
        return cls(**fields, args=order)
