"""Attention one number at a time, with any mistakes planted in it: the style of a first exercise."""

import math
from operator import mul

import numpy as np


def visible(n, m, wrong, *, mask_at, causal, window, offset, valid):
    """Whether query n may see key m."""
    if mask_at is not None and not mask_at:
        return False
    at = n + offset
    if causal and "causal-missing" not in wrong:
        if "causal-reversed" in wrong:
            if m < at:
                return False
        elif m > at + ("causal-off-by-one" in wrong) or ("causal-strict" in wrong and m == at):
            return False
    if window is not None:
        left, right = window
        if left is not None and at - m > left:
            return False
        if right is not None and m - at > right - (1 if "window-off-by-one" in wrong else 0):
            return False
    if "lengths-off-by-one" in wrong:
        valid += 1
    return not (m >= valid and "lengths-ignored" not in wrong)


def masked_at(mask, b, h, n, m, wrong):
    """The mask's own word on one pair, or None where there is none."""
    if mask is None or "mask-ignored" in wrong:
        return None
    if "mask-on-queries" in wrong:
        n, m = m, n
    if "mask-not-broadcast" in wrong:
        b = h = 0
    place = (b, h, n, m)[4 - mask.ndim :]
    found = bool(mask[tuple(0 if size == 1 else i for i, size in zip(place, mask.shape, strict=True))])
    return not found if "mask-inverted" in wrong else found


def dot(a, b):
    if len(a) != len(b):
        raise ValueError("vectors of different lengths")
    return sum(map(mul, a, b))


def one_head(q, k, v, wrong, see, scale, softcap, bias, after):
    """One (N, d) head: output, weights, and the logits."""
    n, m = len(q), len(k)
    q, k = q.tolist(), k.tolist()
    s = np.zeros((n, m))
    for i in range(n):
        for j in range(m):
            total = dot(q[i], k[j]) * scale
            if "qk-swapped" in wrong:
                total = dot(k[i], q[j]) * scale
            if bias is not None and "bias-before-scale" in wrong:
                total += scale * bias[i, j]
            if softcap is not None and not {"softcap-order", "softcap-ignored"} & wrong:
                total = softcap * math.tanh(total / softcap)
            if bias is not None and not {"bias-missing", "bias-before-scale"} & wrong:
                total += bias[j, i] if "bias-transposed" in wrong else bias[i, j]
            if softcap is not None and "softcap-order" in wrong:
                total = softcap * math.tanh(total / softcap)
            s[i, j] = total
    logits = s.copy()
    hidden = [[after and not see(i, j) for j in range(m)] for i in range(n)]
    for i in range(n):
        for j in range(m):
            if "mask-added-as-number" in wrong:
                s[i, j] += 0.0 if hidden[i][j] else 1.0 if after else 0.0
            elif hidden[i][j] and "mask-fill-too-small" in wrong:
                s[i, j] = -1.0
            elif hidden[i][j] and "mask-after-softmax" not in wrong:
                s[i, j] = -1e9 if "mask-finite-fill" in wrong else -math.inf
    p = np.zeros((n, m))
    groups = [[(i, j) for j in range(m)] for i in range(n)]
    if "softmax-axis" in wrong:
        groups = [[(i, j) for i in range(n)] for j in range(m)]
    if "softmax-global" in wrong:
        groups = [[(i, j) for i in range(n) for j in range(m)]]
    base = 2.0 if "softmax-base-2" in wrong else math.e
    for _ in range(2 if "softmax-twice" in wrong else 1):
        totals = []
        for group in groups:
            top = max(s[at] for at in group)
            if "softmax-overflow" in wrong or top == -math.inf:
                top = 0.0
            powers = [float(np.power(base, s[at] - top)) for at in group]
            total = float(np.sum(powers))
            if "online-not-rescaled" in wrong:
                powers, total = running_powers([s[at] for at in group])
            if "softmax-missing" in wrong:
                powers = [0.0 if s[at] == -math.inf else s[at] for at in group]
                total = 1.0
            for at, power in zip(group, powers, strict=True):
                if total == 0:
                    p[at] = math.nan if "mask-all-hidden-nan" in wrong else 0.0
                else:
                    p[at] = np.float64(power) / total
            totals.append(total or 1.0)
        if "softmax-keepdims" in wrong:
            p = p * np.array(totals)[:, None] / np.array(totals)
        s = p.copy()
    for i in range(n):
        for j in range(m):
            if "mask-after-softmax" in wrong and hidden[i][j]:
                p[i, j] = 0.0
    return p, logits, hidden


def running_powers(logits):
    """exp of each logit less the largest so far, and their sum."""
    top, powers = -math.inf, []
    for logit in logits:
        top = max(top, logit)
        powers.append(0.0 if top == -math.inf else math.exp(logit - top))
    return powers, sum(powers)


def across(logits, hidden, axis):
    """Weights (B, H, N, M) that sum to one over heads (1) or items (0)."""
    s = np.where(hidden, -math.inf, logits)
    p = np.zeros(s.shape)
    for at in np.ndindex(s.shape):
        line = [s[(*at[:axis], i, *at[axis + 1 :])] for i in range(s.shape[axis])]
        top = max(line)
        p[at] = 0.0 if top == -math.inf else math.exp(s[at] - top) / sum(math.exp(a - top) for a in line)
    return p


def attend(q, k, v, wrong=frozenset(), *, mask=None, bias=None, causal=False, window=None, align=None, lengths=None,
           scale=None, softcap=None, model=None, rng=None):  # fmt: skip
    """(B, H, N, d), (B, G, M, d), (B, G, M, e) -> output and weights."""
    if model is None:
        if "qv-swapped" in wrong:
            q, v = v, q
        if "kv-swapped" in wrong:
            k, v = v, k
    if "values-are-keys" in wrong:
        v = k
    B, H, N, d = q.shape
    G = k.shape[1]
    assert v.shape[1] == G
    if "batch-mixed" in wrong:
        k, v = ([np.vstack([a[b, g] for b in range(B)]) for g in range(G)] for a in (k, v))
        k, v = np.array([k] * B), np.array([v] * B)
    M = k.shape[2]
    if "reshaped-not-transposed" in wrong:
        k = np.array(
            [[[[k[b, g].flat[i * M + m] for i in range(d)] for m in range(M)] for g in range(G)] for b in range(B)]
        )
    factor = scale
    if factor is None or "scale-ignored" in wrong:
        factor = 1 / math.sqrt(d)
        factors = {"scale-missing": 1.0, "scale-after-softmax": 1.0, "scale-no-root": 1 / d}
        factors |= {
            "scale-heads": 1 / math.sqrt(H),
            "scale-inverted": math.sqrt(d),
            "scale-tokens": N**-0.5,
            "scale-model-width": (model or d * H) ** -0.5,
            "scale-other": 0.3,
        }
        for code, other in factors.items():
            if code in wrong:
                factor = other
    mask = None if mask is None else np.asarray(mask)
    full_bias = None if bias is None else np.broadcast_to(bias, (B, H, N, M))
    weights, shown = np.zeros((B, H, N, M)), np.zeros((B, H, N, M))
    all_logits, all_hidden = np.zeros((B, H, N, M)), np.zeros((B, H, N, M), bool)
    output = np.zeros((B, H, N, v.shape[-1]))
    for b in range(B):
        valid = M if lengths is None else int(np.ravel(lengths)[b if np.ndim(lengths) else 0])
        end = align == "end"
        if "causal-alignment" in wrong:
            end = True
        offset = valid - N if end else 0
        for h in range(H):
            g = h % G if "groups-tiled" in wrong else h * G // H

            def see(n, m, b=b, h=h, valid=valid, offset=offset):
                said = masked_at(mask, b, h, n, m, wrong)
                return visible(n, m, wrong, mask_at=said, causal=causal, window=window, offset=offset, valid=valid)

            limited = mask is not None or causal or window is not None or lengths is not None
            at_bias = None if full_bias is None else full_bias[b, 0 if "bias-not-broadcast" in wrong else h]
            p, s, hidden = one_head(q[b, h], k[b, g], v[b, g], wrong, see, factor, softcap, at_bias, limited)
            if "scale-after-softmax" in wrong:
                p = p * d**-0.5
            if "heads-share-weights" in wrong and h > 0:
                p = weights[b, 0]
            weights[b, h], all_logits[b, h], all_hidden[b, h] = p, s, hidden
            shown[b, h] = s if "weights-before-softmax" in wrong else p
            if "mix-transposed" in wrong:
                p, hidden = p.T, np.array(hidden).T
            for n in range(N):
                for m in range(M):
                    if hidden[n][m] and p[n, m] == 0 and "mask-leaks-nan" not in wrong:
                        continue
                    kept = 1.0
                    if "dropout-active" in wrong:
                        kept = 0.0 if rng.random() < 0.3 else 1 / 0.7
                    output[b, h, n] += kept * p[n, m] * v[b, g, m]
    for axis, code in enumerate(("softmax-over-batch", "softmax-over-heads")):
        if code in wrong:
            weights = shown = across(all_logits, all_hidden, axis)
            for b, h, n in np.ndindex(B, H, N):
                g = h % G if "groups-tiled" in wrong else h * G // H
                terms = [p * row for p, row in zip(weights[b, h, n], v[b, g], strict=True) if p != 0]
                output[b, h, n] = sum(terms, np.zeros(v.shape[-1]))
    if "weights-from-outputs" in wrong:
        shown = np.array([[o @ v[b, h * G // H].T for h, o in enumerate(item)] for b, item in enumerate(output)])
    if "weights-transposed-out" in wrong:
        shown = np.array([[w.T for w in item] for item in shown])
    return output, shown


def tokens(X, Wq, Wk, Wv, wrong=frozenset(), *, Wo=None, heads=1, bq=None, bk=None, bv=None, bo=None, rng=None, **rest):
    """(N, D) or (B, N, D) -> output and weights."""
    if X.ndim == 3 and not {"batch-mixed", "heads-batch-mixed", "softmax-over-batch"} & wrong:
        found = [
            tokens(x, Wq, Wk, Wv, wrong, Wo=Wo, heads=heads, bq=bq, bk=bk, bv=bv, bo=bo, rng=rng, **rest) for x in X
        ]
        return np.stack([o for o, _ in found]), np.stack([p for _, p in found])
    batch = X.copy() if X.ndim == 3 else [X.copy()]
    lists = [one_item(np.array(x), Wq, Wk, Wv, wrong, heads, bq, bk, bv) for x in batch]
    q, k, v = (np.array([item[i] for item in lists]) for i in range(3))
    if "input-changed" in wrong:
        for i in range(len(X)):
            X[i] = X[i] * 2
    inner = wrong - {"qv-swapped", "kv-swapped", "values-are-keys"}
    o, p = attend(q, k, v, inner, model=X.shape[-1], rng=rng, **rest)
    if "heads-batch-mixed" in wrong:
        flat = [head for item in o for head in item]
        o = np.array([[flat[h * len(o) + b] for h in range(o.shape[1])] for b in range(len(o))])
    outputs = []
    for item, x in zip(o, batch, strict=True):
        rows = joined(item, wrong)
        if Wo is not None and "heads-summed" in wrong:
            Wo = Wo[:, : len(rows[0])]
        if Wo is not None and "output-projection-missing" not in wrong:
            turned = Wo.T if "output-projection-transposed" in wrong else Wo
            rows = [[float(np.dot(w, row)) for w in turned] for row in rows]
        if bo is not None and "bias-missing" not in wrong:
            rows = [[a + c for a, c in zip(row, bo, strict=True)] for row in rows]
        if "residual-added" in wrong:
            rows = [[a + c for a, c in zip(row, token, strict=True)] for row, token in zip(rows, x, strict=True)]
        if "norm-added" in wrong:
            rows = [normalised(row) for row in rows]
        rows = np.array(rows)
        outputs.append(rows.T if "output-transposed" in wrong else rows)
    o = np.array(outputs)
    if "dtype-lowered" in wrong:
        o = o.astype(np.float32)
    return (o, p) if X.ndim == 3 else (o[0], p[0])


def normalised(row):
    mean = sum(row) / len(row)
    variance = sum((a - mean) ** 2 for a in row) / len(row)
    return [(a - mean) / math.sqrt(variance + 1e-6) for a in row]


def one_item(x, Wq, Wk, Wv, wrong, heads, bq, bk, bv):
    """Queries, keys and values (H, N, d) of one item."""
    n, width = x.shape
    if "positions-added" in wrong:
        for i in range(n):
            for j in range(width):
                angle = i / 10000 ** ((j - j % 2) / width)
                x[i, j] += math.cos(angle) if j % 2 else math.sin(angle)
    if "qv-swapped" in wrong:
        Wq, Wv, bq, bv = Wv, Wq, bv, bq
    if "kv-swapped" in wrong:
        Wk, Wv, bk, bv = Wv, Wk, bv, bk
    if "weights-reused" in wrong:
        Wk = Wv = Wq
        bk = bv = bq
    found = []
    for W, bias in ((Wq, bq), (Wk, bk), (Wv, bv)):
        rows = []
        weights = (W.T if "weights-transposed" in wrong else W).tolist()
        for token in x.tolist():
            row = [dot(feature, token) for feature in weights]
            if bias is not None and "bias-missing" not in wrong:
                row = [a + c for a, c in zip(row, bias, strict=True)]
            rows.append([max(a, 0.0) for a in row] if "projection-activated" in wrong else row)
        found.append(np.array(rows))
    if "logits-of-inputs" in wrong:
        found[0] = x
    if "values-are-inputs" in wrong:
        found[2] = x
    if "values-are-keys" in wrong:
        found[2] = found[1]
    if "qk-norm-across-heads" in wrong:
        found[:2] = [np.array([row / math.sqrt(sum(row**2) / len(row) + 1e-6) for row in a]) for a in found[:2]]
    return [apart(a, 1 if "heads-ignored" in wrong else heads, wrong) for a in found]


def apart(a, heads, wrong):
    """(N, H·d) -> H arrays (N, d)."""
    n, width = a.shape
    d = width // heads
    if "heads-split-unmoved" in wrong:
        flat = [number for row in a for number in row]
        return [np.array(flat[h * n * d : (h + 1) * n * d]).reshape(n, d) for h in range(heads)]
    if "heads-interleaved" in wrong:
        return [a[:, h::heads] for h in range(heads)]
    if "heads-attend-heads" in wrong:
        return [np.array([row[h * d : (h + 1) * d] for h in range(heads)]) for row in a]
    if "heads-share-matrices" in wrong:
        return [a[:, width - d :] for _ in range(heads)]
    return [a[:, h * d : (h + 1) * d] for h in range(heads)]


def joined(heads, wrong):
    """H arrays (N, e) -> N rows of H·e numbers."""
    n = len(heads[0])
    if "heads-attend-heads" in wrong:  # what is called a head is a token
        return [[number for part in token for number in part] for token in heads]
    if "heads-merged-unmoved" in wrong:
        flat = [number for head in heads for row in head for number in row]
        return [flat[i * len(flat) // n : (i + 1) * len(flat) // n] for i in range(n)]
    if "heads-summed" in wrong:
        return [list(row) for row in sum(np.asarray(head) for head in heads)]
    if "heads-averaged" in wrong:
        mean = sum(np.asarray(head) for head in heads) / len(heads)
        return [list(row) * len(heads) for row in mean]
    return [[number for head in heads for number in head[i]] for i in range(n)]
