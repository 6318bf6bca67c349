"""Functions with mistakes planted in them, and without: each style given the arguments that people give theirs."""

import numpy as np

from planted import columns, einsums, loops, matrices

STYLES = {"matrices": matrices, "loops": loops, "einsums": einsums, "columns": columns}

# where a mistake can be made; "tokens" is self-attention and multi-head, and "heads" multi-head alone
TOKENS = [
    "weights-transposed",
    "qk-swapped",
    "qv-swapped",
    "kv-swapped",
    "values-are-inputs",
    "scale-missing",
    "scale-no-root",
    "scale-inverted",
    "scale-tokens",
    "scale-after-softmax",
    "softmax-axis",
    "softmax-global",
    "softmax-missing",
    "softmax-twice",
    "softmax-base-2",
    "softmax-overflow",
    "bias-missing",
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
    "causal-alignment",
    "window-off-by-one",
    "softcap-order",
    "groups-tiled",
    "lengths-ignored",
    "rope-layout",
    "batch-mixed",
]
BOTH = [
    "qk-swapped",
    "qv-swapped",
    "kv-swapped",
    "scale-missing",
    "scale-model-width",
    "scale-no-root",
    "scale-inverted",
    "scale-tokens",
    "scale-after-softmax",
    "softmax-axis",
    "softmax-global",
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
ON_WEIGHTS = {"weights-transposed-out", "weights-before-softmax"}


def kinds_of(code):
    """Kinds of function in which a mistake can be planted."""
    return [kind for kind, codes in CODES.items() if code in codes]


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

    def multi_head(X, Wq, Wk, Wv, Wo, heads, *, bq=None, bk=None, bv=None, bo=None):
        b = {"bq": bq, "bk": bk, "bv": bv, "bo": bo}
        return give(module.tokens(X, Wq, Wk, Wv, wrong, Wo=Wo, heads=heads, rng=rng, **b))

    return multi_head


def _attention(module, wrong, rng, give):
    def attention(q, k, v, mask=None, bias=None, causal=False, window=None, align=None, lengths=None, scale=None,
                  softcap=None):  # fmt: skip
        options = {"mask": mask, "bias": bias, "causal": causal, "window": window, "align": align, "lengths": lengths}
        return give(module.attend(q, k, v, wrong, scale=scale, softcap=softcap, rng=rng, **options))

    def rotary_attention(q, k, v, cos=None, sin=None, interleaved=False, mask=None, bias=None, causal=False,
                         window=None, align=None, lengths=None, scale=None, softcap=None):  # fmt: skip
        if cos is not None:
            turn = ROTATIONS[module.__name__.rpartition(".")[2]]
            as_neighbours = bool(interleaved) != ("rope-layout" in wrong)
            q, k = (turn(a, cos, sin, as_neighbours) for a in (q, k))
        return attention(q, k, v, mask, bias, causal, window, align, lengths, scale, softcap)

    return rotary_attention if "rope-layout" in wrong else attention


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
