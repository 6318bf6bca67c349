"""The checked arguments of attention, validated in one place for every engine."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.attention.masks import Align, AttentionMask, Window, build_mask, is_broadcastable, mask_tile
from headwise.errors import DataError, MaskError, ShapeError
from headwise.parallel.threads import parallel_map
from headwise.representation import brief_repr
from headwise.shapes import Array, BoolArray, as_array, as_float_arrays, bind, refuse_masked
from headwise.validation import as_number

_ROWS_AT_ONCE = 1024
_LARGE = 2**20  # numbers, worth several threads
_PLAIN = tuple(map(np.dtype, (np.float32, np.float64)))


@dataclass(slots=True, eq=False)
class AttentionInputs:
    """The arguments of one attention call, ready to be computed."""

    # (..., H, N, d), (..., G, M, d), (..., G, M, e): q in the type of the computation, k and v as they are stored,
    # maybe in half precision; hidden entries may be NaN or infinite until `mask_nonfinite` has zeroed them
    q: Array
    k: Array
    v: Array
    scale: float  # factor of the logits
    softcap: float | None  # c in logits ← c · tanh(logits / c)
    bias: Array | None  # each axis has its full size or 1; finite or −inf where it is not hidden
    mask: AttentionMask  # which keys a query may attend to, not counting −inf in the bias
    dtype: np.dtype[Any]  # type of the results; the computation's is wider for float16 and bfloat16
    # shape and type of the bias argument, which are those of its gradient
    bias_like: tuple[tuple[int, ...], np.dtype[Any]] | None

    __repr__ = brief_repr

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., H, N, M), the logits' shape."""
        return self.mask.shape

    @property
    def groups(self) -> int:
        """G, the number of key heads."""
        return int(self.k.shape[-3])

    def widened(self) -> AttentionInputs:
        """These inputs with k and v in the type of the computation."""
        if self.k.dtype == self.q.dtype:
            return self
        return replace(self, k=self.k.astype(self.q.dtype), v=self.v.astype(self.q.dtype))


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
    q, k, v = as_stored_arrays(q=q, k=k, v=v)
    if not _fit(q.shape, k.shape, v.shape):
        bind("... H N d", q=q).bind("... G M d", k=k).bind("... G M e", v=v)
    heads, groups = q.shape[-3], k.shape[-3]
    if groups == 0 or heads % groups:
        raise ShapeError(f"k: expected a number of heads G that divides H={heads} of q; got {groups}.")
    shape = (*q.shape[:-1], k.shape[-2])
    dtype = q.dtype
    computing = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    full_bias, bias_like = _bias(bias, shape, computing)
    return AttentionInputs(
        q=q.astype(computing, copy=False),
        k=k,
        v=v,
        scale=1.0 / math.sqrt(max(q.shape[-1], 1)) if scale is None else _number("scale", scale, computing),
        softcap=None if softcap is None else _number("softcap", softcap, computing, above=0.0),
        bias=full_bias,
        mask=build_mask(shape, mask=mask, causal=causal, window=window, align=align, lengths=lengths),
        dtype=dtype,
        bias_like=bias_like,
    )


def _number(name: str, value: float, dtype: np.dtype[Any], above: float = -math.inf) -> float:
    number = as_number(name, value, above)
    if abs(number) > float(np.finfo(dtype).max):
        raise DataError(f"{name}: expected a number in the range of {dtype}; got {number!r}.")
    return number


def as_stored_arrays(**arrays: npt.ArrayLike) -> tuple[Array, ...]:
    """`as_float_arrays`, which here also accepts bfloat16 of the library ml_dtypes."""
    dtypes = [array.dtype for array in arrays.values() if type(array) is np.ndarray]
    if len(dtypes) == len(arrays) == dtypes.count(dtypes[0]) and dtypes[0] in _PLAIN:
        return tuple(map(np.asarray, arrays.values()))  # the usual case, quickly
    for name, array in arrays.items():
        if array is None:
            raise DataError(f"{name}: expected an array of floats; got None.")
    halves = {name: array for name, array in arrays.items() if getattr(array, "dtype", None) == "bfloat16"}
    if not halves:
        return as_float_arrays(**arrays)
    refuse_masked(**halves)
    converted = [np.asarray(a) if name in halves else as_float_arrays(**{name: a})[0] for name, a in arrays.items()]
    wider = [a.dtype for name, a in zip(arrays, converted, strict=True) if name not in halves]
    dtype = np.result_type(np.float32, *wider) if wider else converted[0].dtype
    return tuple(array.astype(dtype, copy=False) for array in converted)


def _fit(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> bool:
    """Whether the shapes agree: a quick answer for small problems, which `bind` puts into words where it is no."""
    return 3 <= len(q) == len(k) == len(v) and q[:-3] == k[:-3] == v[:-3] and q[-1] == k[-1] and k[:-1] == v[:-1]


def mask_nonfinite(inputs: AttentionInputs) -> AttentionInputs:
    """Replace NaN and infinity by zeros where they are hidden; raise DataError where they are attended to."""
    if inputs.bias is not None and not _maximum(inputs.bias) < np.inf:
        inputs = replace(inputs, bias=_zero_hidden_bias(inputs.bias, inputs.mask))
    return inputs if all_finite(inputs.q, inputs.k, inputs.v) else _zero_hidden(inputs)


def softcap_factor(inputs: AttentionInputs) -> float:
    """√(|scale| / softcap), at most the type's largest number: q · k times this, twice, is what tanh is applied to.

    A tiny scale or softcap alone would overflow the type or vanish in it.
    """
    assert inputs.softcap is not None
    return min(math.sqrt(abs(inputs.scale)) / math.sqrt(inputs.softcap), float(np.finfo(inputs.q.dtype).max))


def check_overflow(inputs: AttentionInputs, top: Array, total: Array) -> None:
    """Raise DataError if logits overflowed, given the maximum logit and the sum of exponentials of each query.

    A sum of zero shows an overflow to −inf where the query may attend to a key.
    """
    if np.isfinite(total).all() and (top < np.inf).all():
        empty = total[..., 0] == 0
        if not (empty.any() and _may_overflow(inputs) and (empty & _attended(inputs)[0]).any()):
            return
    raise DataError(f"q, k: their products overflow {total.dtype}; scale them down or use a wider type.")


def scale_values(inputs: AttentionInputs) -> tuple[AttentionInputs, Array]:
    """Divide the columns of v that are near the type's maximum by a power of two, so that sums of them are finite.

    Returns the inputs, and the factor (..., H, 1, e) that undoes it for the output.
    """
    with np.errstate(all="ignore"):
        largest = np.abs(np.where(np.isfinite(inputs.v), inputs.v, 0)).max(axis=-2, keepdims=True, initial=0)
    margin = 2.0 ** (64 + math.ceil(math.log2(inputs.shape[-1])))  # an engine sums up to M e⁴⁰ times the value
    factor = np.where(largest > np.finfo(largest.dtype).max / margin, margin, 1).astype(largest.dtype)
    return replace(inputs, v=inputs.v / factor), np.repeat(factor, inputs.shape[-3] // inputs.groups, axis=-3)


def _may_overflow(inputs: AttentionInputs) -> bool:
    """Whether |scale q · k| could exceed the type's maximum, by Cauchy–Schwarz in float64."""
    with np.errstate(all="ignore"):
        norms = [np.linalg.norm(a.astype(np.float64), axis=-1).max(initial=0.0) for a in (inputs.q, inputs.k)]
        bound = norms[0] * norms[1] * max(abs(inputs.scale), 1.0)
    return not bound < float(np.finfo(inputs.q.dtype).max)


def _bias(
    bias: npt.ArrayLike | None, shape: tuple[int, ...], computing: np.dtype[Any]
) -> tuple[Array | None, tuple[tuple[int, ...], np.dtype[Any]] | None]:
    if bias is None:
        return None, None
    if as_array("bias", bias).dtype == np.bool_:
        raise MaskError("bias: expected numbers to add to the logits; got booleans. Pass them as mask.")
    (array,) = as_stored_arrays(bias=bias)
    if not is_broadcastable(array.shape, shape):
        raise ShapeError(f"bias: expected a shape that broadcasts to (..., H, N, M) = {shape}; got {array.shape}.")
    bias_like = array.shape, array.dtype
    if array.dtype.itemsize > computing.itemsize:  # a finite number stays finite: it must not begin to hide its key
        array = np.where(np.isinf(array), array, np.clip(array, np.finfo(computing).min, np.finfo(computing).max))
    return array.reshape((1,) * (len(shape) - array.ndim) + array.shape).astype(computing, copy=False), bias_like


def _maximum(array: Array) -> float:
    """The largest number of an array, NaN if it holds one; several threads read a large array."""
    pieces = [array] if array.size < _LARGE or not array.flags.c_contiguous else np.array_split(array.reshape(-1), 16)
    return float(np.max(parallel_map(lambda piece: piece.max(initial=-np.inf), pieces)))


def all_finite(*arrays: Array) -> bool:
    """Whether there is neither NaN nor infinity; one pass without a temporary where that is so."""
    with np.errstate(all="ignore"):
        return all(bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all()) for array in arrays)


def _zero_hidden_bias(bias: Array, mask: AttentionMask) -> Array:
    """Zero what is NaN or +inf, none of which a query may attend to."""
    bad, allowed = ~(bias < np.inf), mask.full()
    if (bad if allowed is None else bad & allowed).any():
        raise DataError(
            "bias: expected finite numbers, or −inf to hide; it holds NaN or +inf where they are not hidden."
        )
    return np.where(bad, np.zeros((), bias.dtype), bias)


def _zero_hidden(inputs: AttentionInputs) -> AttentionInputs:
    """Zero the tokens that are not finite and not attended to; raise DataError if one is attended to."""
    attends, is_attended = _attended(inputs)
    return replace(
        inputs,
        q=_zero_nonfinite("q", inputs.q, attends, "attends"),
        k=_zero_nonfinite("k", inputs.k, is_attended, "is attended to"),
        v=_zero_nonfinite("v", inputs.v, is_attended, "is attended to"),
    )


def _attended(inputs: AttentionInputs) -> tuple[BoolArray, BoolArray]:
    """Which queries (..., H, N) may attend to a key, and which keys (..., G, M) a query may attend to."""
    *lead, heads, n, m = inputs.shape
    repeat = heads // inputs.groups
    attends = np.zeros((*lead, heads, n), np.bool_)
    is_attended = np.zeros((*lead, inputs.groups, m), np.bool_)
    for index in itertools.product(*map(range, (*lead, heads))):
        for start in range(0, n, _ROWS_AT_ONCE):
            rows = slice(start, min(start + _ROWS_AT_ONCE, n))
            allowed = _allowed(inputs, index, rows)
            is_attended[(*index[:-1], index[-1] // repeat)] |= allowed.any(axis=0)
            attends[index][rows] = allowed.any(axis=1)
    return attends, is_attended


def _zero_nonfinite(name: str, array: Array, matters: BoolArray, reason: str) -> Array:
    """Zero the tokens that are not finite, none of which may matter."""
    bad = ~np.asarray(np.isfinite(array).all(axis=-1))
    if (bad & matters).any():
        where = ", ".join(str(i) for i in np.argwhere(bad & matters)[0])
        raise DataError(f"{name}: holds NaN or infinity in {name}[{where}], which {reason}.")
    return np.where(bad[..., None], np.zeros((), array.dtype), array)


def _allowed(inputs: AttentionInputs, index: tuple[int, ...], rows: slice) -> BoolArray:
    """Which keys these rows may attend to, including −inf in the bias."""
    m = inputs.shape[-1]
    allowed = np.ones((rows.stop - rows.start, m), np.bool_)
    where = index[:-1], slice(index[-1], index[-1] + 1), rows, slice(0, m)
    tile = inputs.mask.tile(*where)
    if tile is not None:
        allowed &= tile[0]
    if inputs.bias is not None:
        allowed &= ~np.isneginf(mask_tile(inputs.bias, *where)[0])
    return allowed
