"""Self-attention with tokens as columns, as in textbooks, with any mistakes planted in it; one item at a time."""

import numpy as np


def softmax_of_columns(S, wrong):
    """(keys, queries): a column is a query, and sums to one."""
    axis = 0
    if "softmax-axis" in wrong:
        axis = 1
    if "softmax-global" in wrong:
        axis = None
    if "softmax-missing" in wrong:
        return S
    if "online-not-rescaled" in wrong:
        top = np.maximum.accumulate(S, axis=0)
        return np.exp(S - top) / np.sum(np.exp(S - top), axis=0)
    E = np.exp(S if "softmax-overflow" in wrong else S - np.max(S, axis=axis, keepdims=True))
    if "softmax-base-2" in wrong:
        E = np.power(2.0, S if "softmax-overflow" in wrong else S - np.max(S, axis=axis, keepdims=True))
    A = E / (np.sum(E, axis=0)[:, None] if "softmax-keepdims" in wrong else np.sum(E, axis=axis, keepdims=True))
    return softmax_of_columns(A, wrong - {"softmax-twice", "softmax-overflow"}) if "softmax-twice" in wrong else A


def tokens(X, Wq, Wk, Wv, wrong=frozenset(), *, Wo=None, heads=1, bq=None, bk=None, bv=None, bo=None, rng=None):
    """(D, N) -> output (e, N) and weights (heads, queries, keys)."""
    D, N = X.shape
    x = given = X.copy()
    if "input-changed" in wrong:
        X[:, 0] = 0.0
    if "positions-added" in wrong:
        half = D // 2 + D % 2
        angle = np.outer(10000.0 ** (-2 * np.arange(half) / D), np.arange(N))
        x = x + np.vstack([np.sin(angle), np.cos(angle)[: D // 2]])
    if "norm-added" in wrong:
        x = x / np.sqrt(np.mean(x**2, axis=0) + 1e-6)
    if "qv-swapped" in wrong:
        Wq, Wv, bq, bv = Wv, Wq, bv, bq
    if "kv-swapped" in wrong:
        Wk, Wv, bk, bv = Wv, Wk, bv, bk
    Q, K, V = (W.T @ x if "weights-transposed" in wrong else W @ x for W in (Wq, Wk, Wv))
    if "weights-reused" in wrong:
        V, bv = Q, bq
    if "bias-missing" not in wrong:
        Q, K, V = (A if b is None else A + b[:, None] for A, b in ((Q, bq), (K, bk), (V, bv)))
    if "projection-activated" in wrong:
        Q, K, V = (np.where(A > 0, A, 0) for A in (Q, K, V))
    if "logits-of-inputs" in wrong:
        K = x
    if "values-are-inputs" in wrong:
        V = x
    if "values-are-keys" in wrong:
        V = K
    if "qk-norm-across-heads" in wrong:
        Q, K = (A / np.sqrt(np.mean(A**2, axis=0) + 1e-6) for A in (Q, K))
    used = 1 if "heads-ignored" in wrong else heads
    Qs, Ks, Vs = (cut(A, used, wrong) for A in (Q, K, V))
    outputs, weights = [], []
    for q, k, v in zip(Qs, Ks, Vs, strict=True):
        d, n = q.shape
        if "reshaped-not-transposed" in wrong:
            k = k.reshape(n, d).T
        S = q.T @ k if "qk-swapped" in wrong else k.T @ q
        if not {"scale-missing", "scale-after-softmax"} & wrong:
            power = next(
                (
                    p
                    for c, p in {"scale-no-root": -1.0, "scale-inverted": 0.5, "scale-other": -0.25}.items()
                    if c in wrong
                ),
                -0.5,
            )
            widths = {"scale-model-width": D, "scale-tokens": n, "scale-heads": used}
            S = S * float(next((w for c, w in widths.items() if c in wrong), d)) ** power
        A = softmax_of_columns(S, wrong)
        if "softmax-over-heads" in wrong:
            A = over_heads(S, Qs, Ks, d)
        if "scale-after-softmax" in wrong:
            A = A / np.sqrt(d)
        if "heads-share-weights" in wrong and weights:
            A = weights[0].T
        weights.append(A.T)
        if "dropout-active" in wrong:
            A = A * rng.binomial(1, 0.75, size=A.shape) / 0.75
        outputs.append(v @ (A.T if "mix-transposed" in wrong else A))
        if "weights-from-outputs" in wrong:
            weights[-1] = outputs[-1].T @ v
        if "weights-before-softmax" in wrong:
            weights[-1] = S.T
    O = put_together(outputs, N, wrong)
    if Wo is not None and "heads-summed" in wrong:
        Wo = Wo[:, : len(O)]
    if Wo is not None and "output-projection-missing" not in wrong:
        O = (Wo.T if "output-projection-transposed" in wrong else Wo) @ O
    if bo is not None and "bias-missing" not in wrong:
        O = O + bo[:, None]
    if "residual-added" in wrong:
        O = O + given
    if "dtype-lowered" in wrong:
        O = O.astype("float32")
    P = np.array(weights)
    if "weights-transposed-out" in wrong:
        P = P.transpose(0, 2, 1)
    return (O.T if "output-transposed" in wrong else O), P


def over_heads(S, Qs, Ks, d):
    """One head's share of what all heads give to a pair."""
    every = np.array([k.T @ q / np.sqrt(d) for q, k in zip(Qs, Ks, strict=True)])
    return np.exp(S - every.max(axis=0)) / np.exp(every - every.max(axis=0)).sum(axis=0)


def cut(A, heads, wrong):
    """(H·d, N) -> H blocks (d, N)."""
    n = A.shape[1]
    if "heads-interleaved" in wrong:
        return [A[h::heads, :] for h in range(heads)]
    if "heads-split-unmoved" in wrong:
        return [part.T for part in A.T.reshape(heads, n, -1)]
    if "heads-attend-heads" in wrong:
        return [A[:, i].reshape(heads, -1).T for i in range(n)]
    return np.vsplit(A, heads)


def put_together(outputs, n, wrong):
    """H blocks (e, N) -> (H·e, N)."""
    if "heads-attend-heads" in wrong:
        return np.stack([block.T.ravel() for block in outputs], axis=1)
    if "heads-merged-unmoved" in wrong:
        return np.concatenate([block.T.ravel() for block in outputs]).reshape(n, -1).T
    if "heads-summed" in wrong:
        return sum(outputs)
    if "heads-averaged" in wrong:
        return np.vstack([sum(outputs) / len(outputs)] * len(outputs))
    return np.vstack(outputs)
