"""The dense engine: the definition, weights in full. Every other engine is tested against it.

Letters in the comments: ... leading axes, H heads, G key heads, N queries, M keys, d and e widths of a key and a value.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.attention.inputs import AttentionInputs, check_overflow, mask_nonfinite
from headwise.shapes import Array

__all__ = ["ForwardCache", "backward", "forward"]


class ForwardCache(NamedTuple):
    """What the backward pass needs."""

    problem: AttentionInputs
    o: Array
    p: Array
    capped: Array | None
    shift: Array
    total: Array

    def lse(self) -> Array:
        """Log-sum-exp of the logits (..., H, N)."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.shift + np.log(self.total))[..., 0]


def forward(problem: AttentionInputs, weights: bool = False) -> tuple[Array, Array | None, ForwardCache]:
    """Return o (..., H, N, e), weights (..., H, N, M) if asked, and what backward needs."""
    problem = mask_nonfinite(problem)
    s, capped = logits(problem)
    top = s.max(axis=-1, keepdims=True, initial=-np.inf)  # (..., H, N, 1)
    shift = np.where(np.isneginf(top), 0, top)  # a row that may attend to nothing: exp(−inf − 0) = 0, not NaN
    with np.errstate(invalid="ignore"):
        p = np.exp(s - shift)
    total = p.sum(axis=-1, keepdims=True)
    check_overflow(top, total)
    p /= np.where(total == 0, 1, total)
    o = _ungroup(_group(p, problem) @ problem.v, problem)
    return o, p if weights else None, ForwardCache(problem, o, p, capped, shift, total)


def backward(saved: ForwardCache, do: Array) -> tuple[Array, Array, Array, Array | None]:
    """Return dq, dk, dv, and dbias if there is a bias, each of the shape of its array."""
    problem = saved.problem
    q, k, v = _group(problem.q, problem), problem.k, problem.v
    do_g = _group(do, problem)
    dv = _group(saved.p, problem).mT @ do_g  # o = p v
    dp = _ungroup(do_g @ v.mT, problem)
    # p = softmax(s):  ds = p ∘ (dp − Σ_m p dp), and Σ_m p dp = do · o
    ds = saved.p * (dp - (do * saved.o).sum(axis=-1, keepdims=True))
    dbias = None if problem.bias is None else _sum_to(ds, problem.bias.shape)
    if saved.capped is not None and problem.softcap is not None:
        ds = ds * (1 - (saved.capped / problem.softcap) ** 2)  # s = c tanh(t / c):  dt = ds (1 − (s/c)²)
    ds_g = _group(ds, problem)
    dq = _ungroup(ds_g @ k * problem.scale, problem)  # t = scale q kᵀ
    dk = ds_g.mT @ q * problem.scale
    return dq, dk, dv, dbias


def logits(problem: AttentionInputs) -> tuple[Array, Array | None]:
    """Logits (..., H, N, M) in the order the design fixes, −inf where hidden; and those after the softcap alone."""
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow is refused, by name, in forward
        s = _ungroup(_group(problem.q, problem) @ problem.k.mT * problem.scale, problem)
    capped = None
    if problem.softcap is not None:
        s = capped = problem.softcap * np.tanh(s / problem.softcap)
    if problem.bias is not None:
        s = s + problem.bias
    seen = problem.visible.full()
    if seen is not None:
        s = np.where(seen, s, -np.inf)
    return s, capped


def _sum_to(a: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting: sum over the axes along which `shape` was repeated."""
    repeated = tuple(axis for axis, size in enumerate(shape) if size != a.shape[axis])
    return np.asarray(a.sum(axis=repeated, keepdims=True))


def _group(a: Array, problem: AttentionInputs) -> Array:
    """(..., H, N, x) -> (..., G, R·N, x): the R query heads that read one key head become rows of one product."""
    *lead, heads, n, x = a.shape
    return a.reshape(*lead, problem.groups, heads // problem.groups * n, x)


def _ungroup(a: Array, problem: AttentionInputs) -> Array:
    """(..., G, R·N, x) -> (..., H, N, x)."""
    *lead, heads, n, _ = problem.shape
    return a.reshape(*lead, heads, n, a.shape[-1])
