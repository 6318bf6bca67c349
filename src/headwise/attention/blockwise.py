"""The blockwise engine: tiles and a running log-sum-exp, in NumPy alone. Memory is linear in the number of tokens.

Logits are kept times log2(e), so that the exponential is a power of two, with the scale folded into q: one factor for
both. Where ‖q‖ · max‖k‖ shows that no power can overflow or vanish, nothing is subtracted, else the running maximum.

Letters in the comments: r queries and c keys of a tile, d and e widths of a key and a value.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from headwise.attention.inputs import AttentionInputs, check_overflow, mask_nonfinite
from headwise.attention.masks import mask_tile
from headwise.attention.tiles import accumulate_bias_gradient, backward_schedule, key_blocks, split_range
from headwise.parallel.threads import parallel_for, single_threaded_blas
from headwise.shapes import Array

__all__ = ["MAX_SAFE_LOGIT", "ForwardCache", "backward", "forward"]

ROWS, COLUMNS = 256, 512  # a tile of float32 takes half of a megabyte of second-level cache
MAX_SAFE_LOGIT = 40.0  # exp(±40) and sums of millions of it are ordinary numbers in float32
LOG2E = math.log2(math.e)


class ForwardCache(NamedTuple):
    """What the backward pass needs: p = 2^(logits · log2(e) − shift) / total, both (..., H, N, 1)."""

    problem: AttentionInputs
    o: Array
    shift: Array
    total: Array

    def lse(self) -> Array:
        """Log-sum-exp of the logits (..., H, N)."""
        with np.errstate(divide="ignore"):
            return np.asarray((self.shift + np.log2(self.total)) / self.total.dtype.type(LOG2E))[..., 0]


def forward(problem: AttentionInputs, weights: bool = False) -> tuple[Array, Array | None, ForwardCache]:
    """Return o (..., H, N, e), weights (..., H, N, M) if asked, and what backward needs."""
    problem = mask_nonfinite(problem)
    *lead, heads, n, _ = problem.shape
    o = np.empty((*lead, heads, n, problem.v.shape[-1]), problem.q.dtype)
    shift, total = (np.empty((*lead, heads, n, 1), problem.q.dtype) for _ in range(2))
    p = np.zeros(problem.shape, problem.q.dtype) if weights else None
    bounded = _bounded(problem)
    units = [(index, rows) for index in np.ndindex(*lead, heads) for rows in split_range(0, n, ROWS)]

    def attend(i: int) -> None:
        index, rows = units[i]
        o[index][rows], shift[index][rows], total[index][rows] = _attend(problem, index, rows, bool(bounded[index]))
        if p is not None:
            _weigh(problem, index, rows, shift[index][rows], total[index][rows], p[index])

    with single_threaded_blas():
        parallel_for(attend, len(units))
    check_overflow(shift, total)
    return o, p, ForwardCache(problem, o, shift, total)


def backward(saved: ForwardCache, do: Array) -> tuple[Array, Array, Array, Array | None]:
    """Return dq, dk, dv, and dbias if there is a bias, each of the shape of its array."""
    problem, o, _, total = saved
    inverse = _reciprocal(total)
    # p = u / total, so that with do' = do / total:  dv = uᵀ do',  ds = u ∘ (do' vᵀ − Σ do' ∘ o)
    do = do * inverse
    delta = np.einsum("...e,...e->...", do, o)[..., None]
    starts, units = backward_schedule(problem)
    partial = [np.zeros(problem.q.shape, do.dtype) for _ in range(units[:, 4].max(initial=0) + 1)]
    dk, dv = np.zeros(problem.k.shape, do.dtype), np.zeros(problem.v.shape, do.dtype)
    dbias = None if problem.bias is None else np.zeros(problem.bias.shape, do.dtype)
    items = list(np.ndindex(*problem.shape[:-3]))

    def descend(i: int) -> None:
        for item, group, low, high, number in units[starts[i] : starts[i + 1]]:
            keys, grads = slice(int(low), int(high)), (partial[number], dk, dv, dbias)
            _descend(saved, (*items[item], int(group)), keys, do, delta, grads)

    with single_threaded_blas():
        parallel_for(descend, len(starts) - 1)
    dq = partial[0]
    for other in partial[1:]:
        dq += other
    dq *= problem.scale
    dk *= problem.scale
    return dq, dk, dv, dbias


def _attend(problem: AttentionInputs, index: tuple[int, ...], rows: slice, bounded: bool) -> tuple[Array, Array, Array]:
    """Output (r, e), shift (r, 1) and total (r, 1) of one block of queries."""
    q, k, v = _scaled(problem, index, rows), problem.k[_group(problem, index)], problem.v[_group(problem, index)]
    o, total = np.zeros((len(q), v.shape[-1]), q.dtype), np.zeros((len(q), 1), q.dtype)
    top = np.full_like(total, 0 if bounded else -np.inf)
    ones, room, product = np.ones((COLUMNS, 1), q.dtype), np.empty((len(q), COLUMNS), q.dtype), np.empty_like(o)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow is refused, by name, in forward
        for keys in key_blocks(problem, index[:-1], rows, slice(0, len(k)), COLUMNS):
            u, _ = _logits(problem, index, rows, keys, q, k[keys], room)
            if not bounded:
                higher = np.maximum(top, u.max(axis=-1, keepdims=True))
                shrink = np.exp2(top - _or_zero(higher))  # of what was summed under the old maximum
                o *= shrink
                total *= shrink
                top = higher
                u -= _or_zero(top)
            np.exp2(u, out=u)
            total += u @ ones[: u.shape[1]]  # (r, c) @ (c, 1) is faster than a sum
            o += np.matmul(u, v[keys], out=product)
    return o * _reciprocal(total), _or_zero(top), total


def _weigh(problem: AttentionInputs, index: tuple[int, ...], rows: slice, shift: Array, total: Array, p: Array) -> None:
    """Write the attention weights of one block of queries into p (N, M)."""
    q, k = _scaled(problem, index, rows), problem.k[_group(problem, index)]
    for keys in key_blocks(problem, index[:-1], rows, slice(0, len(k)), COLUMNS):
        u, _ = _logits(problem, index, rows, keys, q, k[keys], np.empty((len(q), COLUMNS), q.dtype))
        p[rows, keys] = np.exp2(u - shift) * _reciprocal(total)


def _descend(
    saved: ForwardCache,
    pair: tuple[int, ...],
    chunk: slice,
    do: Array,
    delta: Array,
    grads: tuple[Array, Array, Array, Array | None],
) -> None:
    """Add the gradients that pass through a chunk of the keys of (item, key head); dq and dk still lack `scale`."""
    problem, (dq, dk, dv, dbias) = saved.problem, grads
    k, v = problem.k[pair], problem.v[pair]
    repeat = problem.shape[-3] // problem.groups
    room, second = (np.empty((ROWS, COLUMNS), do.dtype) for _ in range(2))
    for head in range(pair[-1] * repeat, (pair[-1] + 1) * repeat):
        index = (*pair[:-1], head)
        for rows in split_range(0, problem.shape[-2], ROWS):
            q, scaled, do_r = problem.q[index][rows], _scaled(problem, index, rows), do[index][rows]
            shift, delta_r, dq_r = saved.shift[index][rows], delta[index][rows], dq[index][rows]
            for keys in key_blocks(problem, pair[:-1], rows, chunk, COLUMNS):
                u, tanh = _logits(problem, index, rows, keys, scaled, k[keys], room)
                if shift.any():
                    u -= shift
                np.exp2(u, out=u)
                dv[pair][keys] += u.T @ do_r  # o = p v
                ds = np.matmul(do_r, v[keys].T, out=second[: len(q), : u.shape[1]])
                ds -= delta_r  # p = softmax(s):  ds = p ∘ (dp − Σ p dp), and Σ p dp = do · o
                ds *= u
                if dbias is not None:
                    accumulate_bias_gradient(dbias, index, rows, keys, ds)
                if tanh is not None:
                    ds *= 1 - tanh**2  # s = c tanh(t / c):  dt = ds (1 − tanh²)
                dq_r += ds @ k[keys]  # t = scale q kᵀ
                dk[pair][keys] += ds.T @ q


def _logits(
    problem: AttentionInputs, index: tuple[int, ...], rows: slice, keys: slice, q: Array, k: Array, room: Array
) -> tuple[Array, Array | None]:
    """Logits · log2(e) of one tile (r, c), −inf where hidden, written to `room`; and the softcap's tanh."""
    s: Array = np.matmul(q, k.T, out=room[: len(q), : len(k)])
    tanh = None
    if problem.softcap is not None:
        tanh = np.tanh(s)
        np.multiply(tanh, problem.softcap * LOG2E, out=s)
    if problem.bias is not None:
        s += mask_tile(problem.bias, index, rows, keys) * s.dtype.type(LOG2E)
    seen = problem.visible.tile(index, rows, keys)
    if seen is not None:
        np.copyto(s, -np.inf, where=~seen)
    return s, tanh


def _scaled(problem: AttentionInputs, index: tuple[int, ...], rows: slice) -> Array:
    factor = problem.scale * LOG2E if problem.softcap is None else problem.scale / problem.softcap
    return np.asarray(problem.q[index][rows] * problem.q.dtype.type(factor))


def _bounded(problem: AttentionInputs) -> Array:
    """For each head, whether no logit can exceed BOUNDED in size: |q · k| ≤ ‖q‖ ‖k‖."""
    *lead, heads, _, _ = problem.shape
    if problem.bias is not None:
        return np.zeros((*lead, heads), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        longest = [np.sqrt(np.einsum("...d,...d->...", a, a).max(axis=-1, initial=0)) for a in (problem.q, problem.k)]
        bound = longest[0] * np.repeat(longest[1], heads // problem.groups, axis=-1) * abs(problem.scale)
    return np.asarray(bound <= MAX_SAFE_LOGIT)


def _group(problem: AttentionInputs, index: tuple[int, ...]) -> tuple[int, ...]:
    """The key head that a query head reads."""
    return (*index[:-1], index[-1] * problem.groups // problem.shape[-3])


def _or_zero(top: Array) -> Array:
    """The maximum, or 0 for a row without any key: 2^(−inf − 0) is 0, not NaN."""
    return np.where(np.isneginf(top), top.dtype.type(0), top)


def _reciprocal(total: Array) -> Array:
    return np.divide(1, total, out=np.zeros_like(total), where=total != 0)
