"""The question an engine answers: arguments checked once, by one place, for every engine."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.attention.masks import Align, AttentionMask, Window, build_mask, is_broadcastable, mask_tile
from headwise.errors import DataError, MaskError, ShapeError
from headwise.shapes import Array, BoolArray, as_float_arrays, bind

__all__ = ["AttentionInputs", "check_overflow", "mask_nonfinite", "validate_inputs"]

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class AttentionInputs:
    """One attention problem, ready to be computed.

    Attributes
    ----------
    q, k, v : ndarray of shape (..., H, N, d), (..., G, M, d), (..., G, M, e)
        In the type of the computation; what is hidden may be NaN or infinite until `mask_nonfinite` has passed it.
    scale : float
        Factor of the logits.
    softcap : float or None
        c in logits ← c · tanh(logits / c).
    bias : ndarray with as many axes as (..., H, N, M), or None
        As it was given, each axis whole or 1; finite or −inf.
    visible : Visible
        Which keys a query may attend to, apart from −inf in the bias.
    dtype : dtype
        Type of the results; the computation's is wider for float16.
    bias_like : (tuple of int, dtype) or None
        Shape and type of the bias as it was given, which are those of its gradient.
    """

    q: Array
    k: Array
    v: Array
    scale: float
    softcap: float | None
    bias: Array | None
    visible: AttentionMask
    dtype: np.dtype[Any]
    bias_like: tuple[tuple[int, ...], np.dtype[Any]] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., H, N, M), the logits' shape."""
        return self.visible.shape

    @property
    def groups(self) -> int:
        """G, the number of key heads."""
        return int(self.k.shape[-3])


def validate_inputs(
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    v: npt.ArrayLike,
    *,
    mask: npt.ArrayLike | None,
    bias: npt.ArrayLike | None,
    causal: bool,
    window: Window,
    align: Align,
    lengths: npt.ArrayLike | None,
    scale: float | None,
    softcap: float | None,
) -> AttentionInputs:
    """Check the arguments of `attention` and bind them together; see there for their meaning."""
    q, k, v = as_float_arrays(q=q, k=k, v=v)
    if not _fit(q.shape, k.shape, v.shape):
        bind("... H N d", q=q).bind("... G M d", k=k).bind("... G M e", v=v)
    heads, groups = q.shape[-3], k.shape[-3]
    if groups == 0 or heads % groups:
        raise ShapeError(f"k: expected a number of heads G that divides H={heads} of q; got {groups}.")
    shape = (*q.shape[:-1], k.shape[-2])
    dtype = q.dtype
    computing = np.dtype(np.float32) if dtype == np.float16 else dtype
    whole_bias, bias_like = _bias(bias, shape, computing)
    return AttentionInputs(
        q=q.astype(computing, copy=False),
        k=k.astype(computing, copy=False),
        v=v.astype(computing, copy=False),
        scale=_number("scale", 1.0 / math.sqrt(max(q.shape[-1], 1)) if scale is None else scale),
        softcap=None if softcap is None else _number("softcap", softcap, above=0.0),
        bias=whole_bias,
        visible=build_mask(shape, mask=mask, causal=causal, window=window, align=align, lengths=lengths),
        dtype=dtype,
        bias_like=bias_like,
    )


def _fit(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> bool:
    """Whether the shapes agree: a quick answer for small problems, which `bind` puts into words where it is no."""
    return len(q) >= 3 and q[:-3] == k[:-3] == v[:-3] and q[-1] == k[-1] and len(q) == len(k) and k[:-1] == v[:-1]


def mask_nonfinite(p: AttentionInputs) -> AttentionInputs:
    """The same problem without NaN and infinity: zeros where they are hidden, refused where they are attended to."""
    return p if all(map(_all_finite, (p.q, p.k, p.v))) else _without_hidden(p)


def check_overflow(top: Array, total: Array) -> None:
    """Refuse logits that overflowed, told by the maximum of a row, or by its sum of exponentials."""
    if not (np.isfinite(total).all() and (top < np.inf).all()):
        raise DataError(f"q, k: their products overflow {total.dtype}; scale them down or use a wider type.")


def _number(name: str, value: float, above: float = -math.inf) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DataError(f"{name}: expected a number; got {value!r}.") from None
    if not math.isfinite(number) or number <= above:
        raise DataError(f"{name}: expected a finite number{' above 0' if above == 0 else ''}; got {value!r}.")
    return number


def _bias(
    bias: npt.ArrayLike | None, shape: tuple[int, ...], computing: np.dtype[Any]
) -> tuple[Array | None, tuple[tuple[int, ...], np.dtype[Any]] | None]:
    if bias is None:
        return None, None
    if np.asarray(bias).dtype == np.bool_:
        raise MaskError("bias: expected numbers to add to the logits; got booleans. Pass them as mask.")
    (found,) = as_float_arrays(bias=bias)
    if np.isnan(found).any() or np.isposinf(found).any():
        raise DataError("bias: expected finite numbers, or −inf to hide; it holds NaN or +inf.")
    if not is_broadcastable(found.shape, shape):
        raise ShapeError(f"bias: expected a shape that broadcasts to (..., H, N, M) = {shape}; got {found.shape}.")
    whole = found.reshape((1,) * (len(shape) - found.ndim) + found.shape)
    return whole.astype(computing, copy=False), (found.shape, found.dtype)


def _all_finite(array: Array) -> bool:
    """Whether there is neither NaN nor infinity; one pass without a temporary where that is so."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())


def _without_hidden(p: AttentionInputs) -> AttentionInputs:
    """Zero the tokens that are not finite and not attended to; refuse if one is attended to."""
    *lead, heads, n, m = p.shape
    repeat = heads // p.groups
    seen_key = np.zeros((*lead, p.groups, m), np.bool_)
    sees_any = np.zeros((*lead, heads, n), np.bool_)
    for index in itertools.product(*map(range, (*lead, heads))):
        for start in range(0, n, _ROWS_AT_ONCE):
            rows = slice(start, min(start + _ROWS_AT_ONCE, n))
            seen = _seen(p, index, rows)
            seen_key[(*index[:-1], index[-1] // repeat)] |= seen.any(axis=0)
            sees_any[index][rows] = seen.any(axis=1)
    return replace(
        p,
        q=_zeroed("q", p.q, sees_any, "attends"),
        k=_zeroed("k", p.k, seen_key, "is attended to"),
        v=_zeroed("v", p.v, seen_key, "is attended to"),
    )


def _zeroed(name: str, array: Array, matters: BoolArray, what: str) -> Array:
    """Put zeros for the tokens that are not finite, none of which may matter."""
    bad = ~np.asarray(np.isfinite(array).all(axis=-1))
    if (bad & matters).any():
        where = ", ".join(str(i) for i in np.argwhere(bad & matters)[0])
        raise DataError(f"{name}: holds NaN or infinity in {name}[{where}], which {what}.")
    return np.where(bad[..., None], np.zeros((), array.dtype), array)


def _seen(p: AttentionInputs, index: tuple[int, ...], rows: slice) -> BoolArray:
    m = p.shape[-1]
    seen = np.ones((rows.stop - rows.start, m), np.bool_)
    tile = p.visible.tile(index, rows, slice(0, m))
    if tile is not None:
        seen &= tile
    if p.bias is not None:
        seen &= ~np.isneginf(mask_tile(p.bias, index, rows, slice(0, m)))
    return seen
