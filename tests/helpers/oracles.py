"""Independent oracles: loops over scalars in float64 that share nothing with the package, and central differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

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
    """Central differences of sum(do * f(*inputs)), entry by entry, in float64; zero for an entry that is infinite."""
    gradients = []
    for which, x in enumerate(inputs):
        numeric = np.zeros_like(x)
        for i in np.argwhere(np.isfinite(x)):
            direction = np.zeros_like(x)
            direction[tuple(i)] = 1
            numeric[tuple(i)] = _slope(f, inputs, do, which, direction)
        gradients.append(numeric)
    return gradients


def _slope(f, inputs, do, which, direction) -> float:
    """Derivative of sum(do * f(*inputs)) along a direction of one input.

    The step is extrapolated (Richardson) so that the differences themselves are good to 1e-9.
    """

    def at(step):
        moved = [x + step * direction if i == which else x for i, x in enumerate(inputs)]
        return float((do * f(*moved)).sum())

    wide, narrow, finest = ((at(h) - at(-h)) / (2 * h) for h in (1e-3, 5e-4, 2.5e-4))
    once, again = (4 * narrow - wide) / 3, (4 * finest - narrow) / 3
    return (16 * again - once) / 15


def check_gradients(
    f: Callable[..., np.ndarray], inputs: Sequence[np.ndarray], grads: Sequence[np.ndarray], do: np.ndarray, rtol=1e-7
) -> None:
    """Compare gradients of sum(do * f(*inputs)) with central differences along three random directions of each input.

    A wrong entry changes every such slope, so that a few of them do what many differences of single entries would.
    """
    rng = RNG(0)
    for which, (grad, x) in enumerate(zip(grads, inputs, strict=True)):
        assert grad.shape == x.shape, f"gradient {which}: {grad.shape} for an input {x.shape}"
        assert not grad[~np.isfinite(x)].any(), f"gradient {which}"
        length = max(1.0, x.size**0.5)
        atol = max(rtol / length, 1e-9) * max(1.0, float(np.abs(grad).max(initial=0)))
        for _ in range(3):
            direction = np.where(np.isfinite(x), rng.normal(size=x.shape) / length, 0)
            expected = _slope(f, inputs, do, which, direction)
            assert float((grad * direction).sum()) == pytest.approx(expected, rel=rtol, abs=atol), f"gradient {which}"
