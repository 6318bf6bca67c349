"""Attention in matrix products and reshapes, with any mistakes planted in it: the style of most repositories."""

import numpy as np


def sees(shape, wrong, mask, causal, window, align, lengths):
    """(B, H, N, M) of what may be seen, or None for everything."""
    b, _, n, m = shape
    ok = None
    last = np.full(b, m) if lengths is None else np.asarray(lengths)
    if mask is not None and "mask-ignored" not in wrong:
        mask = np.asarray(mask)
        while mask.ndim < 4:
            mask = mask[None]
        if "mask-on-queries" in wrong:
            mask = np.moveaxis(mask, -1, -2)
        if "mask-not-broadcast" in wrong:
            mask = mask[:1, :1]
        ok = np.logical_not(mask) if "mask-inverted" in wrong else mask
    offset = np.zeros(b, int)
    at_end = align == "end"
    if "causal-alignment" in wrong:
        at_end = not at_end
    if at_end:
        offset = last - n
    row = np.arange(n)[None, None, :, None] + offset[:, None, None, None]
    column = np.arange(m)[None, None, None, :]
    rules = []
    if causal and "causal-missing" not in wrong:
        if "causal-reversed" in wrong:
            rules.append(column >= row)
        elif "causal-strict" in wrong:
            rules.append(column < row)
        elif "causal-off-by-one" in wrong:
            rules.append(column <= row + 1)
        else:
            rules.append(column <= row)
    if window is not None:
        left, right = window
        if left is not None:
            rules.append(row - column < left if "window-off-by-one" in wrong else row - column <= left)
        if right is not None:
            rules.append(column - row <= right)
    if lengths is not None and "lengths-ignored" not in wrong:
        rules.append(column < last[:, None, None, None] + ("lengths-off-by-one" in wrong))
    for rule in rules:
        ok = rule if ok is None else ok & rule
    return ok


def softmax(s, wrong, ok, axis=-1):
    if "softmax-axis" in wrong:
        axis = -2
    if "softmax-global" in wrong:
        axis = (-2, -1)
    if "softmax-over-heads" in wrong:
        axis = -3
    if "softmax-over-batch" in wrong:
        axis = 0
    if "online-not-rescaled" in wrong:
        return in_blocks(s)
    if "softmax-missing" in wrong:
        return np.where(np.isneginf(s), 0.0, s)
    top = s.max(axis=axis, keepdims=True)
    top = np.where(np.isneginf(top), 0.0, top)
    e = np.exp(s) if "softmax-overflow" in wrong else np.exp(s - top)
    if "softmax-base-2" in wrong:
        e = 2.0**s if "softmax-overflow" in wrong else 2.0 ** (s - top)
    z = e.sum(axis=axis, keepdims=True)
    if "softmax-keepdims" in wrong:
        z = np.swapaxes(z, -1, -2)  # as of one matrix, (N, M) / (N,)
    p = e / z if "mask-all-hidden-nan" in wrong else e / np.where(z == 0.0, 1.0, z)
    if "softmax-twice" in wrong:
        p = np.exp(p) / np.exp(p).sum(axis=axis, keepdims=True)
    return p


def in_blocks(s, size=2):
    """A running softmax that forgets to rescale what came before."""
    running, parts, total = np.full((*s.shape[:-1], 1), -np.inf), [], 0.0
    for start in range(0, s.shape[-1], size):
        block = s[..., start : start + size]
        new = np.maximum(running, block.max(axis=-1, keepdims=True))
        parts.append(np.exp(block - np.where(np.isneginf(new), 0.0, new)))
        total = total + parts[-1].sum(axis=-1, keepdims=True)
        running = new
    return np.concatenate(parts, axis=-1) / np.where(total == 0.0, 1.0, total)


def attend(q, k, v, wrong=frozenset(), *, mask=None, bias=None, causal=False, window=None, align=None, lengths=None,
           scale=None, softcap=None, model=None, rng=None):  # fmt: skip
    """(B, H, N, d), (B, G, M, d), (B, G, M, e) -> output and weights."""
    n, d = q.shape[-2:]
    if "batch-mixed" in wrong:
        b = len(q)
        k, v = (np.concatenate(list(a), axis=-2)[None].repeat(b, axis=0) for a in (k, v))
    if "qv-swapped" in wrong and model is None:
        q, v = v, q
    if "kv-swapped" in wrong and model is None:
        k, v = v, k
    if "values-are-keys" in wrong:
        v = k
    times = q.shape[1] // k.shape[1]
    if times > 1:
        spread = (lambda a: np.tile(a, (1, times, 1, 1))) if "groups-tiled" in wrong else (
            lambda a: np.repeat(a, times, axis=1)
        )  # fmt: skip
        k, v = spread(k), spread(v)
    if scale is None or "scale-ignored" in wrong:
        scale = 1 / np.sqrt(d)
        if "scale-missing" in wrong or "scale-after-softmax" in wrong:
            scale = 1.0
        if "scale-model-width" in wrong:
            scale = 1 / np.sqrt(model or d * q.shape[1])
        if "scale-heads" in wrong:
            scale = 1 / np.sqrt(q.shape[1])
        if "scale-no-root" in wrong:
            scale = 1 / d
        if "scale-inverted" in wrong:
            scale = np.sqrt(d)
        if "scale-tokens" in wrong:
            scale = 1 / np.sqrt(n)
        if "scale-other" in wrong:
            scale = 1 / np.log(1 + d)
    if "reshaped-not-transposed" in wrong:
        k = np.swapaxes(k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2]), -1, -2)
    s = k @ np.swapaxes(q, -1, -2) if "qk-swapped" in wrong else q @ np.swapaxes(k, -1, -2)
    if bias is not None and "bias-not-broadcast" in wrong and bias.ndim > 2:
        bias = bias[..., :1, :, :]
    if bias is not None and "bias-transposed" in wrong:
        bias = np.swapaxes(bias, -1, -2)
    if bias is not None and "bias-before-scale" in wrong:
        s, bias = s + bias, None
    s = s * scale
    ok = sees(s.shape, wrong, mask, causal, window, align, lengths)
    capped = (
        (lambda t: t) if softcap is None or "softcap-ignored" in wrong else (lambda t: softcap * np.tanh(t / softcap))
    )
    if "softcap-order" not in wrong:
        s = capped(s)
    if bias is not None and "bias-missing" not in wrong:
        s = s + bias
    if "softcap-order" in wrong:
        s = capped(s)
    logits = s
    if ok is not None:
        if "mask-added-as-number" in wrong:
            s = s + ok.astype(float)
        elif "mask-fill-too-small" in wrong:
            s = np.where(ok, s, 1e-9)
        elif "mask-finite-fill" in wrong:
            s = np.where(ok, s, -1e9)
        elif "mask-after-softmax" not in wrong:
            s = np.where(ok, s, -np.inf)
    p = softmax(s, wrong, ok)
    if "scale-after-softmax" in wrong:
        p = p / np.sqrt(d)
    if "mask-after-softmax" in wrong and ok is not None:
        p = p * ok
    if "heads-share-weights" in wrong:
        p = np.repeat(p[:, :1], p.shape[1], axis=1)
    given = p
    if "dropout-active" in wrong:
        p = p * (rng.random(p.shape) > 0.2) / 0.8
    if ok is not None and "mask-leaks-nan" not in wrong:
        v = np.where(np.broadcast_to(ok, s.shape).any(-2)[..., None], v, 0.0)
    o = (np.swapaxes(p, -1, -2) if "mix-transposed" in wrong else p) @ v
    if "weights-from-outputs" in wrong:
        given = o @ np.swapaxes(v, -1, -2)
    if "weights-before-softmax" in wrong:
        given = logits
    if "weights-transposed-out" in wrong:
        given = np.swapaxes(given, -1, -2)
    return o, given


def tokens(X, Wq, Wk, Wv, wrong=frozenset(), *, Wo=None, heads=1, bq=None, bk=None, bv=None, bo=None, rng=None, **rest):
    """(N, D) or (B, N, D) -> output and weights."""
    alone = X.ndim == 2
    raw = X
    if "input-changed" in wrong:
        X = X.copy()
        raw -= 1.0
        raw = X
    x = X[None] if alone else X
    if "dtype-lowered" in wrong:
        x, Wq, Wk, Wv = (a.astype(np.float32) for a in (x, Wq, Wk, Wv))
    if "positions-added" in wrong:
        place, pair = np.arange(x.shape[-2])[:, None], np.arange(x.shape[-1])[None]
        angle = place / 10000 ** (2 * (pair // 2) / x.shape[-1])
        x = x + np.where(pair % 2 == 0, np.sin(angle), np.cos(angle))
    if "norm-added" in wrong:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    if "qv-swapped" in wrong:
        Wq, Wv, bq, bv = Wv, Wq, bv, bq
    if "kv-swapped" in wrong:
        Wk, Wv, bk, bv = Wv, Wk, bv, bk
    if "weights-reused" in wrong:
        Wk, bk = Wq, bq
    turn = (lambda W: W) if "weights-transposed" in wrong else (lambda W: W.T)
    q, k, v = x @ turn(Wq), x @ turn(Wk), x @ turn(Wv)
    if "bias-missing" not in wrong:
        q, k, v = (a if b is None else a + b for a, b in ((q, bq), (k, bk), (v, bv)))
    if "logits-of-inputs" in wrong:
        k = x
    if "values-are-inputs" in wrong:
        v = x
    if "values-are-keys" in wrong:
        v = k
    b, n, _ = x.shape
    if "qk-norm-across-heads" in wrong:
        q, k = (a / np.sqrt((a**2).mean(-1, keepdims=True) + 1e-6) for a in (q, k))
    used = 1 if "heads-ignored" in wrong else heads

    def split(a):
        if "heads-split-unmoved" in wrong:
            return a.reshape(b, used, n, -1)
        if "heads-interleaved" in wrong:
            return a.reshape(b, n, -1, used).transpose(0, 3, 1, 2)
        if "heads-attend-heads" in wrong:
            return a.reshape(b, n, used, -1)
        if "heads-share-matrices" in wrong:
            a = np.tile(a[..., : a.shape[-1] // used], used)
        return a.reshape(b, n, used, -1).transpose(0, 2, 1, 3)

    inner = wrong - {"qv-swapped", "kv-swapped", "values-are-keys"}
    o, p = attend(split(q), split(k), split(v), inner, model=x.shape[-1], rng=rng, **rest)
    if "heads-summed" in wrong:
        o = o.sum(axis=1)
        Wo = None if Wo is None else Wo[:, : o.shape[-1]]
    elif "heads-batch-mixed" in wrong:
        o = o.reshape(used, b, n, -1).transpose(1, 2, 0, 3).reshape(b, n, -1)
    elif "heads-averaged" in wrong:
        o = np.tile(o.mean(axis=1), used)
    elif "heads-merged-unmoved" in wrong or "heads-attend-heads" in wrong:
        o = o.reshape(b, n, -1)
    else:
        o = o.transpose(0, 2, 1, 3).reshape(b, n, -1)
    if Wo is not None and "output-projection-missing" not in wrong:
        o = o @ (Wo if "output-projection-transposed" in wrong else Wo.T)
    if bo is not None and "bias-missing" not in wrong:
        o = o + bo
    if "projection-activated" in wrong:
        o = np.maximum(o, 0)
    if "residual-added" in wrong:
        o = o + (raw[None] if alone else raw)
    if "output-transposed" in wrong:
        o = np.swapaxes(o, -1, -2)
    return (o[0], p[0]) if alone else (o, p)
