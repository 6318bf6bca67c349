"""Attention in einsum, with any mistakes planted in it: axes are letters, and most mistakes are one letter."""

import numpy as np


def softmax(s, hidden, wrong):
    """Over the keys of (b, h, n, m)."""
    axes = {"softmax-axis": (2,), "softmax-global": (2, 3), "softmax-over-heads": (1,), "softmax-over-batch": (0,)}
    axis = next((a for code, a in axes.items() if code in wrong), (3,))
    if hidden is not None:
        if "mask-added-as-number" in wrong:
            s = s + (1.0 - hidden)
        elif "mask-fill-too-small" in wrong:
            s = np.where(hidden, 0.0, s)
        elif "mask-finite-fill" in wrong:
            s = s - 1e30 * hidden
        elif "mask-after-softmax" not in wrong:
            s = np.where(hidden, -np.inf, s)
    if "online-not-rescaled" in wrong:
        return one_key_at_a_time(s)
    if "softmax-missing" in wrong:
        s = np.where(s == -np.inf, 0.0, s)
        return np.divide(s, np.sum(s, axis=axis, keepdims=True))
    if "softmax-overflow" not in wrong:
        top = np.max(s, axis=axis, keepdims=True)
        s = np.subtract(s, np.nan_to_num(top, neginf=0.0))
    e = np.exp2(s) if "softmax-base-2" in wrong else np.exp(s)
    z = np.sum(e, axis=axis, keepdims=True)
    if "softmax-keepdims" in wrong:
        z = np.einsum("bhnm->bhmn", np.where(z == 0, 1.0, z))
    filled = np.ones_like(z, bool) if "mask-all-hidden-nan" in wrong else np.isnan(z) | (z > 0)
    p = np.divide(e, z, out=np.zeros_like(e), where=filled)
    if "softmax-twice" in wrong:
        p = softmax(p, None, wrong - {"softmax-twice"})
    return p


def one_key_at_a_time(s):
    """A running softmax whose sum is rescaled, and whose output is not."""
    top = np.maximum.accumulate(s, axis=3)
    final = np.nan_to_num(top[..., -1:], neginf=0.0)
    z = np.einsum("bhnm->bhn", np.exp(s - final))[..., None]
    return np.exp(s - np.nan_to_num(top, neginf=0.0)) / np.where(z == 0, 1.0, z)


def hidden_from(shape, wrong, mask, causal, window, align, lengths):
    """1 where a key is hidden, (B, H, N, M), or None."""
    B, _, N, M = shape
    if mask is None and not causal and window is None and lengths is None:
        return None
    hidden = np.zeros(shape, bool)
    if mask is not None and "mask-ignored" not in wrong:
        mask = np.asarray(mask, bool)
        if "mask-on-queries" in wrong:
            mask = np.einsum("...nm->...mn", mask)
        if "mask-not-broadcast" in wrong:
            mask = mask[0, :1] if mask.ndim == 4 else mask
            mask = mask[:1] if mask.ndim == 3 else mask
        hidden = hidden | (mask if "mask-inverted" in wrong else ~mask)
    keys = np.arange(M)
    for b in range(B):
        valid = M if lengths is None else int(np.broadcast_to(lengths, B)[b])
        if "lengths-ignored" not in wrong:
            hidden[b, :, :, valid + ("lengths-off-by-one" in wrong) :] = True
        start = valid - N if align == "end" and "causal-alignment" not in wrong else 0
        for n in range(N):
            own = start + n
            if causal and "causal-missing" not in wrong:
                after = keys < own + 1 if "causal-reversed" in wrong else keys > own + ("causal-off-by-one" in wrong)
                hidden[b, :, n] |= after
                if "causal-strict" in wrong:
                    hidden[b, :, n] |= keys == own
            if window is not None:
                left, right = window
                if "window-off-by-one" in wrong:
                    left, right = left + 1, right + 1
                hidden[b, :, n] |= (keys < own - left) | (keys > own + right)
    return hidden


def attend(q, k, v, wrong=frozenset(), *, mask=None, bias=None, causal=False, window=None, align=None, lengths=None,
           scale=None, softcap=None, model=None, rng=None):  # fmt: skip
    """(B, H, N, d), (B, G, M, d), (B, G, M, e) -> output and weights."""
    _, H, N, d = q.shape
    if model is None:
        if "qv-swapped" in wrong:
            q, v = v, q
        if "kv-swapped" in wrong:
            k, v = v, k
    if "values-are-keys" in wrong:
        v = k
    if "batch-mixed" in wrong:
        k = np.einsum("bhmd->hbmd", k).reshape(1, k.shape[1], -1, d) + 0 * q[:, :1, :1, :1]
        v = np.einsum("bhmd->hbmd", v).reshape(1, v.shape[1], -1, v.shape[-1]) + 0 * q[:, :1, :1, :1]
    index = np.arange(H) % k.shape[1] if "groups-tiled" in wrong else np.arange(H) // (H // k.shape[1])
    k, v = k[:, index], v[:, index]
    factor = {"scale-missing": 1.0, "scale-after-softmax": 1.0, "scale-no-root": d**-1.0, "scale-inverted": d**0.5}
    factor |= {
        "scale-heads": H**-0.5,
        "scale-tokens": N**-0.5,
        "scale-model-width": (model or H * d) ** -0.5,
        "scale-other": 1 / 8,
    }
    default = next((f for code, f in factor.items() if code in wrong), d**-0.5)
    if "reshaped-not-transposed" in wrong:
        k = np.einsum("bhdm->bhmd", k.reshape(*k.shape[:2], d, -1))
    letters = "bhnd,bhmd->bhmn" if "qk-swapped" in wrong else "bhnd,bhmd->bhnm"
    factor = default if scale is None or "scale-ignored" in wrong else scale
    s = np.einsum(letters, q, k)
    if bias is not None and "bias-not-broadcast" in wrong and bias.ndim > 2:
        bias = bias[..., :1, :, :]
    if bias is not None and "bias-transposed" in wrong:
        bias = np.einsum("...nm->...mn", bias)
    if bias is not None and "bias-before-scale" in wrong:
        s, bias = s + bias, None
    s = s * factor
    hidden = hidden_from(s.shape, wrong, mask, causal, window, align, lengths)
    if softcap is not None and not {"softcap-order", "softcap-ignored"} & wrong:
        s = softcap * np.tanh(s / softcap)
    if bias is not None and "bias-missing" not in wrong:
        s = s + bias
    if softcap is not None and "softcap-order" in wrong:
        if hidden is not None:
            s, hidden = np.where(hidden, -np.inf, s), None
        s = softcap * np.tanh(s / softcap)
    p = softmax(s, hidden, wrong)
    if hidden is not None and "mask-after-softmax" in wrong:
        p = np.where(hidden, 0.0, p)
    if "scale-after-softmax" in wrong:
        p = np.einsum("bhnm,->bhnm", p, d**-0.5)
    if "heads-share-weights" in wrong:
        p = np.einsum("bhnm,g->bgnm", p, np.ones(H)) / H
    if "dropout-active" in wrong:
        p = np.where(rng.random(p.shape) < 0.4, 0.0, p / 0.6)
    if hidden is not None and "mask-leaks-nan" not in wrong:
        v = np.where(np.einsum("bhnm->bhm", ~hidden)[..., None], v, 0.0)
    o = np.einsum("bhmn,bhme->bhne" if "mix-transposed" in wrong else "bhnm,bhme->bhne", p, v)
    given = s if "weights-before-softmax" in wrong else p
    if "weights-from-outputs" in wrong:
        given = np.einsum("bhne,bhme->bhnm", o, v)
    return o, np.einsum("bhnm->bhmn", given) if "weights-transposed-out" in wrong else given


def tokens(X, Wq, Wk, Wv, wrong=frozenset(), *, Wo=None, heads=1, bq=None, bk=None, bv=None, bo=None, rng=None, **rest):
    """(N, D) or (B, N, D) -> output and weights."""
    x = X.reshape(-1, *X.shape[-2:])
    B, N, D = x.shape
    if "input-changed" in wrong:
        Wq *= 0.5
        Wq = Wq * 2
    if "positions-added" in wrong:
        x = x + np.arange(N)[:, None]
    if "norm-added" in wrong:
        x = (x - x.mean(axis=2, keepdims=True)) / (x.std(axis=2, keepdims=True) + 1e-6)
    W = {"q": Wq, "k": Wk, "v": Wv}
    bias = {"q": bq, "k": bk, "v": bv}
    for code, (one, other) in {"qv-swapped": ("q", "v"), "kv-swapped": ("k", "v")}.items():
        if code in wrong:
            W[one], W[other] = W[other], W[one]
            bias[one], bias[other] = bias[other], bias[one]
    used = 1 if "heads-ignored" in wrong else heads
    if "weights-reused" in wrong:
        W["q"], bias["q"] = W["k"], bias["k"]
    made = []
    for name in "qkv":
        letters = "bnd,de->bne" if "weights-transposed" in wrong else "bnd,ed->bne"
        a = np.einsum(letters, x, W[name])
        if bias[name] is not None and "bias-missing" not in wrong:
            a = a + bias[name]
        if name != "v" and "projection-activated" in wrong:
            a = np.tanh(a)
        if (name == "v" and "values-are-inputs" in wrong) or (name == "q" and "logits-of-inputs" in wrong):
            a = x
        if "qk-norm-across-heads" in wrong and name != "v":
            a = a * (np.einsum("bne,bne->bn", a, a)[..., None] / a.shape[-1] + 1e-6) ** -0.5
        if "heads-split-unmoved" in wrong:
            a = a.reshape(B, used, N, -1)
        elif "heads-interleaved" in wrong:
            a = np.einsum("bndh->bhnd", a.reshape(B, N, -1, used))
        elif "heads-attend-heads" in wrong:
            a = a.reshape(B, N, used, -1)
        else:
            a = np.stack(np.split(a, used, axis=-1), axis=1)
        if "heads-share-matrices" in wrong:
            a[:, 1:] = a[:, :1]
        made.append(a.astype(np.float32) if "dtype-lowered" in wrong else a)
    if "values-are-keys" in wrong:
        made[2] = made[1]
    o, p = attend(*made, wrong - {"qv-swapped", "kv-swapped"}, model=D, rng=rng, **rest)
    o = o.astype(float)
    if "heads-summed" in wrong:
        o = np.einsum("bhne->bne", o)
        Wo = None if Wo is None else Wo[:, : o.shape[-1]]
    elif "heads-batch-mixed" in wrong:
        o = np.einsum("hbne->bnhe", o.reshape(used, B, N, -1)).reshape(B, N, -1)
    elif "heads-averaged" in wrong:
        o = np.concatenate([np.einsum("bhne->bne", o) / used] * used, axis=-1)
    elif "heads-merged-unmoved" in wrong or "heads-attend-heads" in wrong:
        o = o.reshape(B, N, -1)
    else:
        o = np.einsum("bhne->bnhe", o).reshape(B, N, -1)
    if Wo is not None and "output-projection-missing" not in wrong:
        o = np.einsum("bne,eo->bno" if "output-projection-transposed" in wrong else "bne,oe->bno", o, Wo)
    if bo is not None and "bias-missing" not in wrong:
        o = o + bo
    if "residual-added" in wrong:
        o = x + o
    if "output-transposed" in wrong:
        o = np.einsum("bnd->bdn", o)
    return (o, p) if X.ndim == 3 else (o[0], p[0])
