"""Independent oracles: loops over scalars in float64 that share nothing with the package, and central differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

RNG = np.random.default_rng


def attention_loop(
    q,
    k,
    v,
    *,
    mask=None,
    bias=None,
    causal=False,
    window=None,
    align="start",
    lengths=None,
    scale=None,
    softcap=None,
    sinks=None,
):
    """Attention for (..., H, N, d), one logit at a time; returns (o, p, lse)."""
    q, k, v = (np.asarray(a, np.float64) for a in (q, k, v))
    *lead, heads, n_q, d = q.shape
    groups, n_k, e = *k.shape[-3:-1], v.shape[-1]
    full = (*lead, heads, n_q, n_k)
    mask = None if mask is None else np.broadcast_to(mask, full)
    bias = None if bias is None else np.broadcast_to(np.asarray(bias, np.float64), full)
    scale = 1 / math.sqrt(d) if scale is None else scale
    left, right = window or (None, None)
    o, p, lse = np.zeros((*lead, heads, n_q, e)), np.zeros(full), np.full(full[:-1], -math.inf)
    for index in np.ndindex(*full[:-1]):
        *item, h, n = index
        item = tuple(item)
        g = h // (heads // groups)
        valid = n_k if lengths is None else int(np.broadcast_to(lengths, tuple(lead))[item])
        aligned = n if align == "start" else n + valid - n_q
        logits = {}
        for m in range(valid):
            if causal and m > aligned:
                continue
            if left is not None and m < aligned - left:
                continue
            if right is not None and m > aligned + right:
                continue
            if mask is not None and not mask[(*index, m)]:
                continue
            s = scale * math.fsum(q[index][i] * k[(*item, g, m)][i] for i in range(d))
            if softcap is not None:
                s = softcap * math.tanh(s / softcap)
            if bias is not None:
                s += bias[(*index, m)]
            if s > -math.inf:
                logits[m] = s
        everything = list(logits.values())
        if sinks is not None and np.broadcast_to(sinks, full[:-2])[index[:-1]] > -math.inf:
            everything.append(float(np.broadcast_to(sinks, full[:-2])[index[:-1]]))
        if not everything:
            continue
        top = max(everything)
        total = math.fsum(math.exp(s - top) for s in everything)
        lse[index] = top + math.log(total)
        for m, s in logits.items():
            p[(*index, m)] = math.exp(s - top) / total
            o[index] += p[(*index, m)] * v[(*item, g, m)]
    return o, p, lse


def self_attention_loop(X, Wq, Wk, Wv, bq=None, bk=None, bv=None, scale=None):
    """Self-attention of one (N, D) item, one number at a time; returns (output, weights)."""

    def project(W, b):
        return [
            [math.fsum(W[o][i] * x[i] for i in range(len(x))) + (0 if b is None else b[o]) for o in range(len(W))]
            for x in X
        ]

    q, k, v = project(Wq, bq), project(Wk, bk), project(Wv, bv)
    o, p, _ = attention_loop(np.array(q)[None], np.array(k)[None], np.array(v)[None], scale=scale)
    return o[0], p[0]


def numeric_gradients(f: Callable[..., np.ndarray], inputs: Sequence[np.ndarray], do: np.ndarray) -> list[np.ndarray]:
    """Central differences of sum(do * f(*inputs)), entry by entry, in float64.

    The step is extrapolated (Richardson) so that the differences themselves are good to 1e-9.
    """
    found = []
    for which, x in enumerate(inputs):
        numeric = np.zeros_like(x)

        def at(i, step, which=which, x=x):
            moved = x.copy()
            moved[i] += step
            return float((do * f(*inputs[:which], moved, *inputs[which + 1 :])).sum())

        for i in np.ndindex(*x.shape):
            if not np.isfinite(x[i]):
                continue
            h = 1e-3
            wide = (at(i, h) - at(i, -h)) / (2 * h)
            narrow = (at(i, h / 2) - at(i, -h / 2)) / h
            finest = (at(i, h / 4) - at(i, -h / 4)) / (h / 2)
            once, again = (4 * narrow - wide) / 3, (4 * finest - narrow) / 3
            numeric[i] = (16 * again - once) / 15
        found.append(numeric)
    return found


def assert_gradients(grads: Sequence[np.ndarray], numeric: Sequence[np.ndarray], rtol=1e-7) -> None:
    for which, (grad, expected) in enumerate(zip(grads, numeric, strict=True)):
        assert grad.shape == expected.shape, f"gradient {which}: {grad.shape} for an input {expected.shape}"
        scale = max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(grad, expected, rtol=rtol, atol=rtol * scale, err_msg=f"gradient {which}")


def check_gradients(
    f: Callable[..., np.ndarray], inputs: Sequence[np.ndarray], grads: Sequence[np.ndarray], do: np.ndarray, rtol=1e-7
) -> None:
    """Compare gradients of sum(do * f(*inputs)) with central differences."""
    assert_gradients(grads, numeric_gradients(f, inputs, do), rtol)
