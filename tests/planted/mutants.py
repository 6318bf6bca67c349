"""Functions with mistakes planted in them, and without: each style given the arguments that people give theirs."""

import numpy as np

from planted import columns, einsums, loops, matrices

STYLES = {"matrices": matrices, "loops": loops, "einsums": einsums, "columns": columns}

# where a mistake can be made; "tokens" is self-attention and multi-head, and "heads" multi-head alone
TOKENS = [
    "logits-of-inputs",
    "weights-transposed",
    "weights-reused",
    "values-are-keys",
    "mix-transposed",
    "online-not-rescaled",
    "weights-from-outputs",
    "qk-swapped",
    "qv-swapped",
    "kv-swapped",
    "values-are-inputs",
    "reshaped-not-transposed",
    "scale-missing",
    "scale-no-root",
    "scale-inverted",
    "scale-tokens",
    "scale-other",
    "scale-after-softmax",
    "softmax-axis",
    "softmax-global",
    "softmax-keepdims",
    "softmax-missing",
    "softmax-twice",
    "softmax-base-2",
    "softmax-overflow",
    "bias-missing",
    "projection-activated",
    "residual-added",
    "positions-added",
    "norm-added",
    "dropout-active",
    "dtype-lowered",
    "input-changed",
    "output-transposed",
    "weights-transposed-out",
    "weights-before-softmax",
]
HEADS = [
    "scale-model-width",
    "scale-heads",
    "softmax-over-heads",
    "heads-summed",
    "qk-norm-across-heads",
    "heads-ignored",
    "heads-interleaved",
    "heads-split-unmoved",
    "heads-merged-unmoved",
    "heads-averaged",
    "heads-share-weights",
    "heads-attend-heads",
    "output-projection-missing",
    "output-projection-transposed",
]
PROJECTED = [
    "mask-inverted",
    "mask-ignored",
    "mask-added-as-number",
    "mask-after-softmax",
    "mask-on-queries",
    "mask-not-broadcast",
    "mask-finite-fill",
    "mask-all-hidden-nan",
    "mask-leaks-nan",
    "causal-missing",
    "causal-reversed",
    "causal-strict",
    "causal-off-by-one",
    "causal-alignment",
    "window-off-by-one",
    "softcap-order",
    "groups-tiled",
    "lengths-ignored",
    "rope-layout",
    "batch-mixed",
    "scale-ignored",
    "softcap-ignored",
    "window-ignored",
    "lengths-off-by-one",
    "bias-before-scale",
    "bias-not-broadcast",
    "bias-transposed",
    "mask-fill-too-small",
    "mask-of-another-item",
    "softmax-over-batch",
]
# those that need arguments of their own, which the others do not have, and are not put together with others
SPECIAL = {
    "attention": [
        "rope-axis",
        "rope-one-side",
        "rope-offset",
        "rope-on-values",
        "alibi-sign",
        "padding-inverted",
        "sinks-ignored",
    ],
    "multi_head": [
        "heads-batch-mixed",
        "heads-share-matrices",
        "qkv-interleaved",
        "context-ignored",
        "context-swapped",
        "inputs-exchanged",
    ],
}
BOTH = [
    "reshaped-not-transposed",
    "values-are-keys",
    "mix-transposed",
    "online-not-rescaled",
    "weights-from-outputs",
    "scale-heads",
    "softmax-over-heads",
    "qk-swapped",
    "qv-swapped",
    "kv-swapped",
    "scale-missing",
    "scale-model-width",
    "scale-no-root",
    "scale-inverted",
    "scale-tokens",
    "scale-other",
    "scale-after-softmax",
    "softmax-axis",
    "softmax-global",
    "softmax-keepdims",
    "softmax-missing",
    "softmax-twice",
    "softmax-base-2",
    "softmax-overflow",
    "bias-missing",
    "dropout-active",
    "weights-transposed-out",
    "weights-before-softmax",
]
CODES = {"self_attention": TOKENS, "multi_head": TOKENS + HEADS, "attention": PROJECTED + BOTH}
ON_WEIGHTS = {"weights-transposed-out", "weights-before-softmax", "weights-from-outputs"}


def kinds_of(code):
    """Kinds of function in which a mistake can be planted."""
    return [kind for kind, codes in CODES.items() if code in codes or code in SPECIAL.get(kind, [])]


def plant(style, kind, wrong=(), weights=None, seed=0):
    """A function of a kind, written in a style, with mistakes in it."""
    wrong, module, rng = frozenset(wrong), STYLES[style], np.random.default_rng(seed)
    if weights is None:
        weights = bool(ON_WEIGHTS & wrong)

    def give(pair):
        return pair if weights else pair[0]

    if kind == "attention":
        return _attention(module, wrong, rng, give)
    if kind == "self_attention":

        def self_attention(X, Wq, Wk, Wv, bq=None, bk=None, bv=None):
            return give(module.tokens(X, Wq, Wk, Wv, wrong, bq=bq, bk=bk, bv=bv, rng=rng))

        def bare_self_attention(X, Wq, Wk, Wv):
            return give(module.tokens(X, Wq, Wk, Wv, wrong, rng=rng))

        return self_attention if "bias-missing" in wrong else bare_self_attention

    def cross_attention(X, context, Wq, Wk, Wv, Wo, heads):
        """Queries from X (N, D), keys and values from the context (M, D)."""
        return give(module.tokens(X, Wq, Wk, Wv, wrong, Wo=Wo, heads=heads, rng=rng))

    def swapped_cross_attention(X, context, Wq, Wk, Wv, Wo, heads):
        """Queries from X (N, D), keys and values from the context (M, D): that is what it should be."""
        return of_inputs((context, Wq), (X, Wk), (X, Wv), Wo, heads)

    def exchanged_inputs(query, key, value, Wq, Wk, Wv, Wo, heads):
        """Queries from query (N, D), keys from key (M, D), values from value (M, D): that is what it should be."""
        return of_inputs((query, Wq), (value, Wk), (key, Wv), Wo, heads)

    def of_inputs(queries, keys, values, Wo, heads):
        parts = (queries, keys, values)
        q, k, v = ((a @ W.T).reshape(1, len(a), heads, -1).swapaxes(1, 2) for a, W in parts)
        o, p = module.attend(q, k, v, wrong, rng=rng)
        return give((o[0].swapaxes(0, 1).reshape(len(queries[0]), -1) @ Wo.T, p[0]))

    def fused_multi_head(X, Wqkv, Wo, heads):
        """Wqkv (3, heads, d, D) with its first three axes flattened: all queries, then all keys, then all values."""
        W = Wqkv.reshape(heads, 3, -1, Wqkv.shape[-1]).swapaxes(0, 1).reshape(3, -1, Wqkv.shape[-1])
        return give(module.tokens(X, *W, wrong, Wo=Wo, heads=heads, rng=rng))

    def batched_multi_head(X, Wq, Wk, Wv, Wo, heads):
        """X (batch, tokens, features)."""
        return give(module.tokens(X, Wq, Wk, Wv, wrong, Wo=Wo, heads=heads, rng=rng))

    special = {"context-ignored": cross_attention, "context-swapped": swapped_cross_attention}
    special["inputs-exchanged"] = exchanged_inputs
    special |= {"qkv-interleaved": fused_multi_head, "heads-batch-mixed": batched_multi_head}
    for code, function in special.items():
        if code in wrong:
            return function

    def multi_head(X, Wq, Wk, Wv, Wo, heads, *, bq=None, bk=None, bv=None, bo=None):
        b = {"bq": bq, "bk": bk, "bv": bv, "bo": bo}
        return give(module.tokens(X, Wq, Wk, Wv, wrong, Wo=Wo, heads=heads, rng=rng, **b))

    return multi_head


def _attention(module, wrong, rng, give):
    def attention(q, k, v, mask=None, bias=None, causal=False, window=None, align=None, lengths=None, scale=None,
                  softcap=None):  # fmt: skip
        if mask is not None and "mask-of-another-item" in wrong:
            mask = MASKS_OF_OTHERS[module.__name__.rpartition(".")[2]](np.asarray(mask), *q.shape[:2])
        if "window-ignored" in wrong:
            window = None
        options = {"mask": mask, "bias": bias, "causal": causal, "window": window, "align": align, "lengths": lengths}
        return give(module.attend(q, k, v, wrong, scale=scale, softcap=softcap, rng=rng, **options))

    def rotary_attention(q, k, v, cos=None, sin=None, interleaved=False, mask=None, bias=None, causal=False,
                         window=None, align=None, lengths=None, scale=None, softcap=None):  # fmt: skip
        if cos is not None:
            turn = ROTATIONS[module.__name__.rpartition(".")[2]]
            as_neighbours = bool(interleaved) != ("rope-layout" in wrong)
            if "rope-axis" in wrong:
                q, k = (by_head(turn, a, cos, sin, as_neighbours) for a in (q, k))
            else:
                q = turn(q, cos, sin, as_neighbours)
                k = k if "rope-one-side" in wrong else turn(k, cos, sin, as_neighbours)
            if "rope-on-values" in wrong:
                v = turn(v, cos, sin, as_neighbours)
        return attention(q, k, v, mask, bias, causal, window, align, lengths, scale, softcap)

    def rotary_step(q, k, v, past_k, past_v):
        """New tokens after those of which the rotated keys and the values are in the cache."""
        turn, place = ROTATIONS[module.__name__.rpartition(".")[2]], np.arange(q.shape[-2])[:, None]
        angles = place * 1e4 ** (-np.arange(0, q.shape[-1], 2) / q.shape[-1])
        q, k = (turn(a, np.cos(angles), np.sin(angles), False) for a in (q, k))
        k, v = np.concatenate([past_k, k], axis=-2), np.concatenate([past_v, v], axis=-2)
        return give(module.attend(q, k, v, wrong, rng=rng))

    def alibi_attention(q, k, v):
        n, m = np.arange(q.shape[-2])[:, None], np.arange(k.shape[-2])
        bias = ALIBI[module.__name__.rpartition(".")[2]](q.shape[1]) * np.abs(n - m)
        return give(module.attend(q, k, v, wrong, bias=bias, rng=rng))

    def attention_with_sinks(q, k, v, sinks=None):
        return give(module.attend(q, k, v, wrong, rng=rng))

    def padded_attention(q, k, v, attn_mask=None, key_padding_mask=None):
        """attn_mask: True where a query may look. key_padding_mask (batch, keys): True at padding."""
        mask = np.ones((len(q), 1, q.shape[-2], k.shape[-2]), bool)
        if attn_mask is not None:
            mask = mask & attn_mask
        if key_padding_mask is not None:
            mask = mask & key_padding_mask[:, None, None, :]
        return give(module.attend(q, k, v, wrong, mask=mask, rng=rng))

    if "rope-offset" in wrong:
        return rotary_step
    if any(code.startswith("rope") for code in wrong):
        return rotary_attention
    if "sinks-ignored" in wrong:
        return attention_with_sinks
    return padded_attention if "padding-inverted" in wrong else alibi_attention if "alibi-sign" in wrong else attention


def by_head(turn, a, cos, sin, neighbours):
    """Rotate with a head's number for its tokens' positions."""
    heads = a.shape[-3]
    return turn(a.swapaxes(-2, -3), cos[:heads], sin[:heads], neighbours).swapaxes(-2, -3)


def rotate_complex(a, cos, sin, neighbours):
    turns = cos + 1j * sin
    half = a.shape[-1] // 2
    if neighbours:
        z = (a[..., 0::2] + 1j * a[..., 1::2]) * turns
        return np.stack([z.real, z.imag], -1).reshape(a.shape)
    z = (a[..., :half] + 1j * a[..., half:]) * turns
    return np.concatenate([z.real, z.imag], -1)


def rotate_by_hand(a, cos, sin, neighbours):
    found, d = np.empty_like(a), a.shape[-1]
    for i in range(d // 2):
        x, y = (2 * i, 2 * i + 1) if neighbours else (i, i + d // 2)
        found[..., x] = a[..., x] * cos[:, i] - a[..., y] * sin[:, i]
        found[..., y] = a[..., x] * sin[:, i] + a[..., y] * cos[:, i]
    return found


def rotate_half(a, cos, sin, neighbours):
    if neighbours:
        c, s = np.repeat(cos, 2, axis=-1), np.repeat(sin, 2, axis=-1)
        turned = np.stack([-a[..., 1::2], a[..., ::2]], axis=-1).reshape(a.shape)
    else:
        c, s = np.tile(cos, 2), np.tile(sin, 2)
        x, y = np.split(a, 2, axis=-1)
        turned = np.concatenate([-y, x], axis=-1)
    return a * c + turned * s


ROTATIONS = {"matrices": rotate_half, "loops": rotate_by_hand, "einsums": rotate_complex}


def masks_tiled(mask, items, heads):
    """(B, 1, N, M) -> (B, H, N, M), of folded heads in the wrong order."""
    if mask.ndim < 4 or len(mask) < items or mask.shape[1] > 1:
        return mask
    return np.tile(mask[:, 0], (heads, 1, 1)).reshape(items, heads, *mask.shape[2:])


def masks_indexed(mask, items, heads):
    if mask.ndim < 4 or len(mask) < items or mask.shape[1] > 1:
        return mask
    return mask[np.arange(items * heads).reshape(heads, items).T // heads, 0]


def masks_in_turn(mask, items, heads):
    if mask.ndim < 4 or len(mask) < items or mask.shape[1] > 1:
        return mask
    return np.array([[mask[(b * heads + h) % items, 0] for h in range(heads)] for b in range(items)])


MASKS_OF_OTHERS = {"matrices": masks_tiled, "loops": masks_in_turn, "einsums": masks_indexed}
ALIBI = {
    "matrices": lambda heads: 2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)[:, None, None],
    "loops": lambda heads: np.array([0.5 ** (8 * (h + 1) / heads) for h in range(heads)]).reshape(-1, 1, 1),
    "einsums": lambda heads: np.exp2(np.linspace(-8 / heads, -8, heads))[:, None, None],
}
