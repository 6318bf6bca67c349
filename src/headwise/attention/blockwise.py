"""The blockwise engine: tiles and a running log-sum-exp, in NumPy alone. Memory is linear in the number of tokens.

Where ‖q‖ · max‖k‖ shows that no exponential can overflow or vanish, nothing is subtracted, else the running maximum.

Letters in the comments: r queries and c keys of a tile, d and e widths of a key and a value.
"""

from __future__ import annotations

import numpy as np

from headwise.attention.base import ForwardCache, Gradients
from headwise.attention.inputs import AttentionInputs, all_finite, check_overflow, mask_nonfinite, softcap_factor
from headwise.attention.masks import mask_tile
from headwise.attention.tiles import accumulate_bias_gradient, backward_schedule, key_blocks, split_range
from headwise.parallel.threads import parallel_for, single_threaded_blas
from headwise.shapes import Array

# A tile of float32 takes a megabyte; half as many rows where a causal mask or a window leaves more of it hidden.
ROWS, COLUMNS = 512, 512
MAX_SAFE_LOGIT = 40.0  # exp(±40) and sums of millions of it are ordinary numbers in float32


def forward(inputs: AttentionInputs, weights: bool = False) -> tuple[Array | None, ForwardCache]:
    """Return the weights (..., H, N, M) if requested, and a cache with the output."""
    inputs = mask_nonfinite(inputs.widened())
    *lead, heads, n, _ = inputs.shape
    o = np.empty((*lead, heads, n, inputs.v.shape[-1]), inputs.q.dtype)
    shift, total = (np.empty((*lead, heads, n, 1), inputs.q.dtype) for _ in range(2))
    p = np.zeros(inputs.shape, inputs.q.dtype) if weights else None
    bounded = _bounded(inputs)
    units = [(index, rows) for index in np.ndindex(*lead, heads) for rows in split_range(0, n, _rows(inputs))]

    def attend(i: int) -> None:
        index, rows = units[i]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported by name, or repeated
            o[index][rows], shift[index][rows], total[index][rows] = _attend(inputs, index, rows, bool(bounded[index]))
            if p is not None:
                _write_weights(inputs, index, rows, shift[index][rows], total[index][rows], p[index])

    with single_threaded_blas():
        parallel_for(attend, len(units))
    check_overflow(inputs, shift, total)
    return p, ForwardCache(inputs, o, shift, total, all_finite(o))


def backward(cache: ForwardCache, do: Array) -> Gradients:
    """Return the gradients, with dbias if there is a bias."""
    inputs = cache.inputs
    delta = np.einsum("...e,...e->...", do, cache.o)[..., None]
    starts, units = backward_schedule(inputs)
    partial = [np.zeros(inputs.q.shape, do.dtype) for _ in range(units[:, 4].max(initial=0) + 1)]
    dk, dv = np.zeros(inputs.k.shape, do.dtype), np.zeros(inputs.v.shape, do.dtype)
    dbias = None if inputs.bias is None else np.zeros(inputs.bias.shape, do.dtype)
    items = list(np.ndindex(*inputs.shape[:-3]))

    def accumulate(i: int) -> None:
        for item, group, low, high, number in units[starts[i] : starts[i + 1]]:
            keys, grads = slice(int(low), int(high)), (partial[number], dk, dv, dbias)
            with np.errstate(over="ignore", invalid="ignore"):  # of `do` that is not finite
                _accumulate_gradients(cache, (*items[item], int(group)), keys, do, delta, grads)

    with single_threaded_blas():
        parallel_for(accumulate, len(starts) - 1)
    dq = partial[0]
    for other in partial[1:]:
        dq += other
    dq *= inputs.scale
    dk *= inputs.scale
    return Gradients(dq, dk, dv, dbias, all_finite(dq, dk, dv))


def _attend(inputs: AttentionInputs, index: tuple[int, ...], rows: slice, bounded: bool) -> tuple[Array, Array, Array]:
    """Output (r, e), shift (r, 1) and total (r, 1) of one block of queries."""
    q, k, v = _scaled(inputs, index, rows), inputs.k[_group(inputs, index)], inputs.v[_group(inputs, index)]
    o, total = np.zeros((len(q), v.shape[-1]), q.dtype), np.zeros((len(q), 1), q.dtype)
    top = np.full_like(total, 0 if bounded else -np.inf)
    ones, buffer, product = np.ones((COLUMNS, 1), q.dtype), np.empty((len(q), COLUMNS), q.dtype), np.empty_like(o)
    for keys in key_blocks(inputs, index[:-1], rows, slice(0, len(k)), COLUMNS):
        u, _ = _logits(inputs, index, rows, keys, q, k[keys], buffer)
        if not bounded:
            higher = np.maximum(top, u.max(axis=-1, keepdims=True))
            shrink = np.exp(top - _or_zero(higher))  # of what was summed under the old maximum
            o *= shrink
            total *= shrink
            top = higher
            u -= _or_zero(top)
        np.exp(u, out=u)
        total += u @ ones[: u.shape[1]]  # (r, c) @ (c, 1) is faster than a sum
        o += np.matmul(u, v[keys], out=product)
    return o * _reciprocal(total), _or_zero(top), total


def _write_weights(
    inputs: AttentionInputs, index: tuple[int, ...], rows: slice, shift: Array, total: Array, p: Array
) -> None:
    """Write the attention weights of one block of queries into p (N, M)."""
    q, k = _scaled(inputs, index, rows), inputs.k[_group(inputs, index)]
    for keys in key_blocks(inputs, index[:-1], rows, slice(0, len(k)), COLUMNS):
        u, _ = _logits(inputs, index, rows, keys, q, k[keys], np.empty((len(q), COLUMNS), q.dtype))
        p[rows, keys] = np.exp(u - shift) * _reciprocal(total)


def _accumulate_gradients(
    cache: ForwardCache,
    pair: tuple[int, ...],
    chunk: slice,
    do: Array,
    delta: Array,
    grads: tuple[Array, Array, Array, Array | None],
) -> None:
    """Add the gradients that pass through a chunk of the keys of (item, key head); dq and dk still lack `scale`."""
    inputs, (dq, dk, dv, dbias) = cache.inputs, grads
    k, v = inputs.k[pair], inputs.v[pair]
    repeat = inputs.shape[-3] // inputs.groups
    size = min(_rows(inputs), inputs.shape[-2]), min(COLUMNS, inputs.shape[-1])
    buffer, second = (np.empty(size, do.dtype) for _ in range(2))
    for head in range(pair[-1] * repeat, (pair[-1] + 1) * repeat):
        index = (*pair[:-1], head)
        for rows in split_range(0, inputs.shape[-2], _rows(inputs)):
            q, scaled, dq_r = inputs.q[index][rows], _scaled(inputs, index, rows), dq[index][rows]
            # p = u / total, so that with do' = do / total:  dv = uᵀ do',  ds = u ∘ (do' vᵀ − Σ do' ∘ o)
            shift, inverse = cache.shift[index][rows], _reciprocal(cache.total[index][rows])
            do_r, delta_r = do[index][rows] * inverse, delta[index][rows] * inverse
            for keys in key_blocks(inputs, pair[:-1], rows, chunk, COLUMNS):
                u, tanh = _logits(inputs, index, rows, keys, scaled, k[keys], buffer)
                if shift.any():
                    u -= shift
                np.exp(u, out=u)
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
    inputs: AttentionInputs, index: tuple[int, ...], rows: slice, keys: slice, q: Array, k: Array, buffer: Array
) -> tuple[Array, Array | None]:
    """Logits of one tile (r, c), −inf where hidden, written to `buffer`; and the softcap's tanh."""
    s: Array = np.matmul(q, k.T, out=buffer[: len(q), : len(k)])
    tanh = None
    if inputs.softcap is None and abs(inputs.scale) > 1:
        s *= abs(inputs.scale)
    elif inputs.softcap is not None:
        factor = softcap_factor(inputs)
        s *= factor  # tanh saturates where this overflows
        s *= factor
        tanh = np.tanh(s)
        np.multiply(tanh, inputs.softcap, out=s)
    if inputs.bias is not None:
        s += mask_tile(inputs.bias, index, rows, keys)
    allowed = inputs.mask.tile(index, rows, keys)
    if allowed is not None:
        np.copyto(s, -np.inf, where=~allowed)
    return s, tanh


def _scaled(inputs: AttentionInputs, index: tuple[int, ...], rows: slice) -> Array:
    """A block of queries times `scale`, or times its sign where they could overflow or a softcap applies the rest."""
    factor = inputs.scale if inputs.softcap is None and abs(inputs.scale) <= 1 else np.sign(inputs.scale)
    return np.asarray(inputs.q[index][rows] * inputs.q.dtype.type(factor))


def _rows(inputs: AttentionInputs) -> int:
    """Queries of a tile."""
    return ROWS if inputs.mask.left is None and inputs.mask.right is None else ROWS // 2


def _bounded(inputs: AttentionInputs) -> Array:
    """For each head, whether no logit can exceed `MAX_SAFE_LOGIT` in size: |q · k| ≤ ‖q‖ ‖k‖."""
    *lead, heads, _, _ = inputs.shape
    if inputs.bias is not None:
        return np.zeros((*lead, heads), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        longest = [np.sqrt(np.einsum("...d,...d->...", a, a).max(axis=-1, initial=0)) for a in (inputs.q, inputs.k)]
        bound = longest[0] * np.repeat(longest[1], heads // inputs.groups, axis=-1) * abs(inputs.scale)
    return np.asarray(bound <= MAX_SAFE_LOGIT)


def _group(inputs: AttentionInputs, index: tuple[int, ...]) -> tuple[int, ...]:
    """The key head that a query head reads."""
    return (*index[:-1], index[-1] * inputs.groups // inputs.shape[-3])


def _or_zero(top: Array) -> Array:
    """The maximum, or 0 for a row without any key: exp(−inf − 0) is 0, not NaN."""
    return np.where(np.isneginf(top), top.dtype.type(0), top)


def _reciprocal(total: Array) -> Array:
    return np.divide(1, total, out=np.zeros_like(total), where=total != 0)
