"""Mistakes with the heads: how they are split, kept apart and merged; groups of key heads and batches."""

from __future__ import annotations

from collections.abc import Callable

from headwise.checker.catalogue.entry import Mistake
from headwise.checker.catalogue.projections import nothing
from headwise.checker.reference.definition import merge, split
from headwise.checker.reference.state import Change, Trace, configurable
from headwise.checker.user_code.numpy_guard import np
from headwise.shapes import Array

__all__ = ["ENTRIES"]

SPLIT = "head h owns features h·d … (h+1)·d − 1:  q.reshape(N, H, d).transpose(1, 0, 2)"
MERGE = "O = concat(head₀ … head_{H−1}):  o.transpose(1, 0, 2).reshape(N, H·d)"


def one_head(t: Trace) -> None:
    if t.of_tokens:
        t.q, t.k, t.v = (a[:, None] for a in (t.q, t.k, t.v))


def scale_of_a_part(t: Trace) -> None:
    scale = t.case.get("scale")
    t.scale = (t.q.shape[-1] / t.heads) ** -0.5 if scale is None else scale


@configurable
def split_by(t: Trace, divide: Callable[[Array, int], Array], of: str) -> None:
    """Divide some of the queries, keys and values into heads in another way, and the others as they should be."""
    if t.of_tokens:
        before = {"q": (t.q, t.heads), "k": (t.k, t.key_heads), "v": (t.v, t.key_heads)}
        split(t)
        for x in of:
            setattr(t, x, divide(*before[x]))


def interleaved(a: Array, heads: int) -> Array:
    """(B, N, d, H) -> (B, H, N, d)."""
    return a.reshape(*a.shape[:2], -1, heads).transpose(0, 3, 1, 2)


def unmoved(a: Array, heads: int) -> Array:
    """(B, N, H·d) -> (B, H, N, d) in the order of the numbers."""
    return a.reshape(a.shape[0], heads, a.shape[1], -1)


def in_reverse(t: Trace) -> None:
    """The last head first."""
    t.o = t.o[:, ::-1]


REVERSED: Change = {"+mix": in_reverse}


@configurable
def merged(t: Trace, *axes: int) -> None:
    """(B, H, N, d) with its axes in this order -> (B, N, H·d)."""
    if t.of_tokens:
        t.o = t.o.transpose(axes).reshape(t.o.shape[0], t.o.shape[2], -1)


def reshaped(a: Array) -> Array:
    """(…, M, d) whose transpose is taken for its numbers in their order as (…, d, M)."""
    return a.reshape(*a.shape[:-2], a.shape[-1], -1).swapaxes(-1, -2)


def reshaped_back(a: Array) -> Array:
    """(…, M, d) that is the numbers of its transpose in their order."""
    return a.swapaxes(-1, -2).reshape(a.shape)


@configurable
def taken_as(t: Trace, name: str, shaped: Callable[[Array], Array]) -> None:
    setattr(t, name, shaped(getattr(t, name)))


@configurable
def matrices_of_one_head(t: Trace, which: str, head: int) -> None:
    """The rows of one head's matrix and bias, repeated for every head."""
    if t.of_tokens:
        for x in which:
            count = t.heads if x == "q" else t.key_heads
            t.W, t.b = (
                {**arrays, x: _repeated(arrays[x], count, head)} if x in arrays else arrays for arrays in (t.W, t.b)
            )


def _repeated(array: Array, heads: int, head: int) -> Array:
    """One head's rows for every head, each on its own slice of the tokens where the array is block-diagonal."""
    rows = np.split(array, heads)
    if array.ndim < 2 or array.shape[1] % heads:
        return np.concatenate([rows[head]] * heads)
    blocks = [np.split(block, heads, axis=1) for block in rows]
    diagonal = not any(blocks[i][j].any() for i in range(heads) for j in range(heads) if i != j)
    return np.kron(np.eye(heads), blocks[head][head]) if diagonal else np.concatenate([rows[head]] * heads)


def mean_of_heads(t: Trace) -> None:
    if t.of_tokens:
        t.o = t.o.mean(axis=1)


def mean_repeated(t: Trace) -> None:
    if t.of_tokens:
        t.o = np.tile(t.o.mean(axis=1), t.o.shape[1])


def sum_of_heads(t: Trace) -> None:
    if t.of_tokens:
        t.o = t.o.sum(axis=1)


def narrow_output(t: Trace) -> None:
    if t.of_tokens:
        t.o = (t.o @ t.W["o"][:, : t.o.shape[-1]].T if "o" in t.W else t.o) + t.b.get("o", 0)


@configurable
def of_folded(t: Trace, axes: tuple[int, ...] | None) -> None:
    """Merge what was folded as (B·H, N, e), and is taken for (H·B, N, e); or the other way, for None."""
    if t.of_tokens:
        b, h, n, _ = t.o.shape
        if axes is None:
            t.o = t.o.swapaxes(0, 1).reshape(t.o.shape).transpose(0, 2, 1, 3).reshape(b, n, -1)
        else:
            t.o = t.o.reshape(h, b, n, -1).transpose(axes).reshape(b, n, -1)


def first_heads_weights(t: Trace) -> None:
    _share(t, t.p[:, :1])


def mean_weights(t: Trace) -> None:
    _share(t, t.p.mean(axis=1, keepdims=True))


def _share(t: Trace, weights: Array) -> None:
    """Use weights (B, 1, N, M) for every head; those of each head may still be returned."""
    if t.p.shape[1] > 1:
        t.weights = (t.p,)
        t.p = np.broadcast_to(weights, t.p.shape)


def heads_as_tokens(t: Trace) -> None:
    """(B, N, H·d) -> (B, N, H, d): what should be the token axis is the head axis."""
    if t.of_tokens and t.heads == 1:
        split(t)
    elif t.of_tokens:
        t.q, t.k, t.v = (a.reshape(*a.shape[:2], t.heads, -1) for a in (t.q, t.k, t.v))
    elif t.q.shape[1] > 1:
        t.q, t.k, t.v = (a.swapaxes(1, 2) for a in (t.q, t.k, t.v))


def tokens_again(t: Trace) -> None:
    if t.of_tokens and t.heads == 1:
        merge(t)
    elif t.of_tokens:
        t.o = t.o.reshape(*t.o.shape[:2], -1)
    elif t.case["q"].shape[1] > 1:
        t.o = t.o.swapaxes(1, 2)


def tokens_again_moved(t: Trace) -> None:
    if t.of_tokens and t.heads == 1:
        merge(t)
    elif t.of_tokens:
        t.o = t.o.swapaxes(1, 2).reshape(t.o.shape[0], t.o.shape[1], -1)


@configurable
def tiled(t: Trace, names: str) -> None:
    times = t.q.shape[1] // t.k.shape[1]
    arrays = {"k": t.k, "v": t.v}.items()
    t.k, t.v = (np.tile(a, (1, times, 1, 1)) if x in names else a.repeat(times, axis=1) for x, a in arrays)


def joined(a: Array) -> Array:
    """(B, H, M, d) -> (1, H, B·M, d): the keys of all items in one row."""
    return a.swapaxes(0, 1).reshape(1, a.shape[1], -1, a.shape[3])


def everybodys_keys(t: Trace) -> None:
    t.k, t.v = joined(t.k), joined(t.v)


@configurable
def of_first_item(t: Trace, names: str) -> None:
    """Queries, keys or values of the first item for all."""
    for name in names:
        setattr(t, name, getattr(t, name)[:1])


def across_items(t: Trace) -> None:
    """Token n of an item attends to token n of every item."""
    if t.q.shape[0] == 1 and not t.case.get("alone"):
        return
    t.q, t.k, t.v = (a.swapaxes(0, 2) for a in (t.q, t.k, t.v))


def within_items(t: Trace) -> None:
    if t.case["X" if t.of_tokens else "q"].shape[0] > 1 or t.case.get("alone"):
        t.o = t.o.swapaxes(0, 2)


def viewed(a: Array) -> Array:
    """(B, H, N, d) viewed as if the tokens came before the batch: token i of all goes to item i mod B."""
    b, h, n, d = a.shape
    return a.swapaxes(1, 2).reshape(n, b, h, d).transpose(1, 2, 0, 3)


def viewed_back(a: Array) -> Array:
    """The inverse of `viewed`: (B, H, N, d) of tokens before the batch, viewed as if the batch came first."""
    b, h, n, d = a.shape
    return a.transpose(2, 0, 1, 3).reshape(b, n, h, d).swapaxes(1, 2)


@configurable
def projections_viewed(t: Trace, view: Callable[[Array], Array]) -> None:
    t.q, t.k, t.v = (view(a) for a in (t.q, t.k, t.v))


@configurable
def output_viewed(t: Trace, view: Callable[[Array], Array]) -> None:
    t.o = view(t.o)


def mixed_by_columns(t: Trace) -> None:
    t.o = t.p.swapaxes(-1, -2) @ t.v


def mixed_by_visible_columns(t: Trace) -> None:
    """As `mixed_by_columns`, without the keys of which the weight is zero because it is hidden."""
    p = t.p.swapaxes(-1, -2)
    visible = True if t.see is None else np.broadcast_to(t.see, t.p.shape).swapaxes(-1, -2)
    counts = (visible | (p != 0))[..., None]
    t.o = np.where(counts, p[..., None] * t.v[:, :, None], 0).sum(axis=-2)


_SOME = ("q", "k", "v", "qk", "qv", "kv")
_FEATURES_FIRST = merged(0, 2, 3, 1)

ENTRIES = (
    Mistake(
        "reshaped-not-transposed",
        "An array is reshaped to the shape of its transpose, which is not its transpose.",
        "S = Q Kᵀ / √d,  Kᵀ[i, m] = K[m, i]",
        "reshape and view keep the order of the numbers; they do not move an axis.",
        "Use K.T, or K.swapaxes(-1, -2).",
        ("logits", "mix"),
        (
            *({"+group": taken_as("k", shaped)} for shaped in (reshaped, reshaped_back)),
            *({"+mix": taken_as("o", shaped)} for shaped in (reshaped_back, reshaped)),
        ),
    ),
    Mistake(
        "heads-ignored",
        "One head of the full width is used instead of H heads.",
        SPLIT,
        "The number of heads has no influence on the weights.",
        "Split q, k and v into heads before the logits, and take one softmax for each head.",
        ("split", "logits"),
        ({"split": one_head}, {"split": one_head, "scale": scale_of_a_part}),
    ),
    Mistake(
        "heads-interleaved",
        "Head h takes the features h, h+H, h+2H … instead of a run of d features, or the last head comes first.",
        SPLIT,
        "reshape(N, d, H), a slice with a step, W[h::H], or a merge of (N, d, H) does this.",
        "Reshape to (N, H, d), or slice W[h*d:(h+1)*d].",
        ("split",),
        (
            {"split": split_by(interleaved, "qkv")},
            {"split": split_by(interleaved, "qkv"), "merge": _FEATURES_FIRST},
            {"merge": _FEATURES_FIRST},
            *({"split": split_by(interleaved, of)} for of in _SOME),
            REVERSED,
        ),
        reported_in=("mlxcel#928", "sglang#24321"),
    ),
    Mistake(
        "heads-split-unmoved",
        "(N, D) is reshaped straight to (H, N, d): a head gets whole tokens instead of a part of every token.",
        SPLIT,
        "reshape keeps the order of the numbers; it does not move an axis.",
        "Reshape to (N, H, d) first, then move the head axis to the front.",
        ("split",),
        tuple({"split": split_by(unmoved, of)} for of in ("qkv", *_SOME)),
        reported_in=("FuxiCTR#30", "onnx#7118"),
    ),
    Mistake(
        "heads-merged-unmoved",
        "(H, N, d) is reshaped to (N, D) without the tokens in front: a row of the output holds several tokens.",
        MERGE,
        "reshape keeps the order of the numbers; it does not move an axis.",
        "Move the head axis behind the tokens first, then reshape to (N, H·d).",
        ("merge",),
        tuple({"merge": merged(*map(int, axes))} for axes in ("0123", "0132", "0321", "0312", "1023")),
        reported_in=("jsbaan/transformer-from-scratch#6", "QAnet-pytorch#2"),
    ),
    Mistake(
        "heads-averaged",
        "The heads are averaged instead of concatenated.",
        MERGE,
        "The output is the width of one head, or repeats itself H times.",
        "Concatenate the heads along the feature axis.",
        ("merge",),
        ({"merge": mean_of_heads}, {"merge": mean_repeated}, {"merge": mean_of_heads, "output": narrow_output}),
    ),
    Mistake(
        "heads-summed",
        "The heads are summed instead of concatenated.",
        MERGE,
        "The output is the width of one head, and its features of different heads are added up.",
        "Concatenate the heads along the feature axis.",
        ("merge",),
        ({"merge": sum_of_heads}, {"merge": sum_of_heads, "output": narrow_output}),
        reported_in=("functional-transformer#8",),
    ),
    Mistake(
        "heads-batch-mixed",
        "Heads folded into the batch are unfolded in another order: items and heads are exchanged.",
        "(B, H, N, d) to (B·H, N, d) and back, the batch first both times",
        "It is right for one item, and an item's output holds heads of other items.",
        "Unfold in the order in which you folded, then move the head axis behind the tokens.",
        ("merge", "split"),
        tuple({"merge": of_folded(axes)} for axes in ((1, 2, 0, 3), (0, 2, 1, 3), None)),
        reported_in=("opacus#825", "gazelle93/Transformer-Various-Positional-Encoding#1"),
    ),
    Mistake(
        "heads-share-weights",
        "All heads use the same attention weights: those of the first head, or their average.",
        "head_h = softmax(Q_h K_hᵀ / √d) V_h",
        "An average of the weights over heads is for looking at, not for computing with.",
        "Multiply each head's values with that head's own weights.",
        ("mix", "softmax"),
        ({"+divide": first_heads_weights}, {"+divide": mean_weights}),
        reported_in=("pytorch#34537",),
    ),
    Mistake(
        "heads-share-matrices",
        "All heads use the matrices of one head.",
        "Q_h = X Wq_hᵀ,  K_h = X Wk_hᵀ,  V_h = X Wv_hᵀ",
        "Changing the matrices of another head changes nothing, and all heads give the same output.",
        "Use the matrices with the head's own number; look at copied lines, and at the index in the loop over heads.",
        ("split", "projection"),
        tuple({"+arrange": matrices_of_one_head(x, h)} for x in ("qkv", "q", "k", "v", "kv", "qk") for h in (0, -1)),
    ),
    Mistake(
        "heads-attend-heads",
        "Attention runs across the head axis (H × H weights for each token) instead of across the tokens (N × N).",
        "S_h = Q_h K_hᵀ / √d, of shape (H, N, N)",
        "No token has any influence on another.",
        "Move the head axis in front of the tokens before the matrix product: (N, H, d) to (H, N, d).",
        ("logits", "split"),
        tuple({"split": heads_as_tokens, "merge": back} for back in (tokens_again, tokens_again_moved)),
    ),
    Mistake(
        "groups-tiled",
        "Query heads read the key heads in the order 0 1 0 1 instead of 0 0 1 1.",
        "query head h reads key head h // (H/G)",
        "np.tile and torch's Tensor.repeat do this.",
        "Repeat each key head in place: np.repeat(k, H // G, axis=-3), or repeat_interleave.",
        ("group",),
        tuple({"group": tiled(names)} for names in ("kv", "k", "v")),
        reported_in=("onnx#7274", "jax-js#180"),
    ),
    Mistake(
        "mix-transposed",
        "The values are mixed with the transpose of the weights.",
        "O = P V,  O[n] = Σ_m P[n, m] V[m]",
        "What a token receives is what others should have received from it; its shares do not sum to one.",
        "Write P @ V (with tokens as columns, V @ P.T).",
        ("mix",),
        ({"+mix": mixed_by_columns}, {"+mix": mixed_by_visible_columns}),
        reported_in=("heykeetae/Self-Attention-GAN#11",),
    ),
    Mistake(
        "batch-mixed",
        "Tokens of one item of the batch attend to tokens of another.",
        "S[b] = Q[b] K[b]ᵀ / √d for each item b on its own",
        "An item's output depends on what it was batched with.",
        "Keep the batch axis in front in every product, or loop over the items.",
        ("logits", "split"),
        (
            {"+group": everybodys_keys},
            {"+group": across_items, "+mix": within_items},
            *({"+group": of_first_item(names)} for names in ("kv", "k", "v", "q", "qk")),
            {"+group": projections_viewed(viewed), "+mix": output_viewed(viewed_back)},
            {"+group": projections_viewed(viewed_back), "+mix": output_viewed(viewed)},
            {"segments": nothing},
        ),
    ),
)
