"""Attention over keys and values held as Dask arrays: their chunks stay on the workers that hold them.

Each chunk of keys is a shard. Queries, and the part of a mask or bias that belongs to the shard, travel to the worker;
its output and softmax statistics travel back and are merged in pairs, in an order that depends only on the number of
shards. Backward, every shard yields its own dk and dv, which stay on its worker as chunks of Dask arrays, and a part
of dq. If a worker dies, Dask computes its shards again on another.

Letters in the comments: S shards of c keys.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.attention.base import ForwardCache, Gradients
from headwise.attention.engines import choose_engine, run_forward
from headwise.attention.inputs import AttentionInputs, all_finite
from headwise.errors import DataError, ShapeError, require_extra
from headwise.parallel.threads import limit_threads
from headwise.shapes import Array

_Part = tuple[Array, Array, Array]  # o, shift and total of a shard, or of several that were merged


def is_dask_array(array: object) -> bool:
    """Whether this is an array of Dask; Dask is not imported."""
    return type(array).__module__.startswith("dask.array")


class Shards:
    """The chunks of k and v as delayed arrays, and the keys that each holds."""

    def __init__(self, k: Any, v: Any) -> None:
        self.keys: list[slice] = []
        start = 0
        for size in k.chunks[-2]:
            self.keys.append(slice(start, start + size))
            start += size
        self.k, self.v = (list(array.to_delayed().ravel()) for array in (k, v))


def split_shards(q: Any, k: Any, v: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Shards]:
    """Check Dask arrays k and v; return arrays of zeros in their place that take no memory, and the shards.

    Raises DataError if only one of them is a Dask array; ShapeError if they are divided along other axes than the keys,
    or differently.
    """
    for name, array in (("k", k), ("v", v)):
        if not is_dask_array(array):
            raise DataError(
                f"{name}: expected a Dask array, since the other of k and v is one; got {type(array).__name__}."
            )
        if array.ndim < 3 or any(len(sizes) != 1 for axis, sizes in enumerate(array.chunks) if axis != array.ndim - 2):
            raise ShapeError(
                f"{name}: expected chunks along the keys alone, axis -2 of (..., G, M, width); got chunks "
                f"{array.chunks}. Write {name}.rechunk({{i: -1 for i in range({name}.ndim) if i != {name}.ndim - 2}})."
            )
    if k.chunks[-2] != v.chunks[-2]:
        raise ShapeError(
            f"v: expected the chunks of k along the keys, {k.chunks[-2]}; got {v.chunks[-2]}. Rechunk one of them."
        )
    try:
        dtype = np.result_type(getattr(q, "dtype", k.dtype), k.dtype, v.dtype)
    except TypeError:  # float16 and bfloat16
        dtype = np.dtype(np.float32)
    k_shape, v_shape = (np.broadcast_to(np.zeros((), dtype), array.shape) for array in (k, v))
    return k_shape, v_shape, Shards(k, v)


class ShardedEngine:
    """An engine (see `Engine`) that runs another one on each shard, where the shard is."""

    def __init__(self, shards: Shards, engine: str) -> None:
        self._shards, self._engine = shards, engine

    def forward(self, inputs: AttentionInputs, weights: bool = False) -> tuple[Array | None, ForwardCache]:
        """Return the weights (..., H, N, M) if requested, and a cache with the output."""
        delayed = _delayed()
        shards = self._shards
        attend, merge = delayed(_attend, pure=False), delayed(_merge, pure=False)
        template = delayed(_template(inputs), traverse=False)
        results = [
            attend(template, *_shard_arrays(inputs, keys), keys, k, v, self._engine, weights)
            for keys, k, v in zip(shards.keys, shards.k, shards.v, strict=True)
        ]
        parts = [result[0] for result in results]
        while len(parts) > 1:
            parts = [merge(*pair) if len(pair) == 2 else pair[0] for pair in _pairs(parts)]
        (o, shift, total), shard_weights = _compute(parts[0], [result[1] for result in results] if weights else [])
        cache = ForwardCache(inputs, o, shift, total, all_finite(o))
        return _scale_weights(shard_weights, cache) if weights else None, cache

    def backward(self, cache: ForwardCache, do: Array) -> Gradients:
        """Return the gradients: dk and dv as Dask arrays with the chunks of k and v, dbias if there is a bias."""
        import dask
        import dask.array as da

        delayed = _delayed()
        inputs, shards = cache.inputs, self._shards
        gradients, add = delayed(_gradients, pure=False), delayed(np.add, pure=False)
        template = delayed(_template(inputs), traverse=False)
        statistics = delayed((cache.o, cache.shift, cache.total, do))
        results = [
            gradients(template, *_shard_arrays(inputs, keys), keys, k, v, self._engine, statistics)
            for keys, k, v in zip(shards.keys, shards.k, shards.v, strict=True)
        ]
        persisted = dask.persist(*(result[i] for result in results for i in range(4)))
        dq_parts, dk_parts, dv_parts, dbias_parts = (list(persisted[i::4]) for i in range(4))
        while len(dq_parts) > 1:
            dq_parts = [add(*pair) if len(pair) == 2 else pair[0] for pair in _pairs(dq_parts)]
        dq, dbias = _compute(dq_parts[0], dbias_parts if inputs.bias is not None else None)
        dk, dv = (
            da.concatenate(
                [
                    da.from_delayed(part, (*like.shape[:-2], keys.stop - keys.start, like.shape[-1]), do.dtype)
                    for part, keys in zip(parts, shards.keys, strict=True)
                ],
                axis=-2,
            )
            for parts, like in ((dk_parts, inputs.k), (dv_parts, inputs.v))
        )
        joined = None if dbias is None else _join_bias_gradients(dbias, inputs)
        return Gradients(dq, dk, dv, joined, all_finite(dq))  # what is not finite in dk shows in dq


def _delayed() -> Any:
    with require_extra("attention over Dask arrays", "dask", "cluster"):
        from dask import delayed
    return delayed


def _pairs(parts: list[Any]) -> list[list[Any]]:
    return [parts[i : i + 2] for i in range(0, len(parts), 2)]


def _template(inputs: AttentionInputs) -> AttentionInputs:
    """The inputs without what depends on the shard: keys, values, mask array and bias."""
    k, v = (np.zeros((*array.shape[:-2], 0, array.shape[-1]), array.dtype) for array in (inputs.k, inputs.v))
    return replace(inputs, k=k, v=v, mask=replace(inputs.mask, array=None), bias=None)


def _compute(*values: Any) -> Any:
    import dask

    try:
        return dask.compute(*values)
    except Exception as error:
        if type(error).__module__.startswith("distributed"):
            raise DataError(f"k, v: the cluster did not compute their attention ({error}).") from None
        raise


def _shard_arrays(inputs: AttentionInputs, keys: slice) -> tuple[Any, Any]:
    """The part of mask and bias that belongs to a shard."""

    def cut(array: Any) -> Any:
        return array if array is None or array.shape[-1] == 1 else array[..., keys]

    return cut(inputs.mask.array), cut(inputs.bias)


def _shard_inputs(
    template: AttentionInputs, mask: Any, bias: Array | None, keys: slice, k: Array, v: Array
) -> AttentionInputs:
    """The inputs of a shard: its keys, counted from its first one."""
    full_mask, size = template.mask, keys.stop - keys.start
    lengths = None if full_mask.lengths is None else np.clip(full_mask.lengths - keys.start, 0, size)
    shape = (*full_mask.shape[:-1], size)
    part = replace(full_mask, shape=shape, array=mask, lengths=lengths, offset=full_mask.offset - keys.start)
    k, v = np.asarray(k), np.asarray(v)
    if k.dtype != v.dtype:
        k, v = (array.astype(template.q.dtype, copy=False) for array in (k, v))
    return replace(template, k=k, v=v, mask=part, bias=bias)


def _attend(
    template: AttentionInputs, mask: Any, bias: Any, keys: slice, k: Array, v: Array, engine: str, weights: bool
) -> tuple[_Part, Any]:
    """Output and statistics of a shard, with the shift in units of the logits; and its weights and what scales them."""
    inputs = _shard_inputs(template, mask, bias, keys, k, v)
    with limit_threads(1):  # a worker computes several shards at once
        p, cache = run_forward(choose_engine(engine, inputs), inputs, weights)
    shift = cache.shift * cache.shift.dtype.type(cache.unit)
    return (cache.o, shift, cache.total), None if p is None else (p, shift, cache.total)


def _merge(a: _Part, b: _Part) -> _Part:
    """Merge two shards; as `headwise.merge`, but the sum keeps the digits that a log-sum-exp would lose."""
    (o_a, shift_a, total_a), (o_b, shift_b, total_b) = a, b
    shift = np.where(total_a == 0, shift_b, np.where(total_b == 0, shift_a, np.maximum(shift_a, shift_b)))
    with np.errstate(over="ignore", under="ignore"):
        weight_a = np.where(total_a == 0, 0, total_a * np.exp(shift_a - shift))
        weight_b = np.where(total_b == 0, 0, total_b * np.exp(shift_b - shift))
    total = weight_a + weight_b
    o = (weight_a * o_a + weight_b * o_b) / np.where(total == 0, 1, total)
    return o, shift, total


def _scale_weights(parts: list[Any], cache: ForwardCache) -> Array:
    """The weights of all shards, each scaled from its own sum of exponentials to the total."""
    scaled = []
    for p, shift, total in parts:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            share = total * np.exp(shift - cache.shift) / np.where(cache.total == 0, 1, cache.total)
        scaled.append(p * np.where(total == 0, 0, share))
    return np.concatenate(scaled, axis=-1)


def _gradients(
    template: AttentionInputs, mask: Any, bias: Any, keys: slice, k: Array, v: Array, engine: str, statistics: Any
) -> tuple[Array, Array, Array, Array | None]:
    """The shard's part of dq, its dk and dv, and its part of dbias."""
    inputs = _shard_inputs(template, mask, bias, keys, k, v)
    o, shift, total, do = statistics
    implementation = choose_engine(engine, inputs)
    with limit_threads(1):
        _, local = run_forward(implementation, inputs, False)
        unit = local.shift.dtype.type(local.unit)
        cache = replace(local, o=o, shift=shift / unit, total=total, p=_rescaled(local, shift, total))
        gradients = implementation.backward(cache, do)
    return gradients.dq, gradients.dk, gradients.dv, gradients.dbias


def _rescaled(local: ForwardCache, shift: Array, total: Array) -> Array | None:
    """The weights that `dense` keeps, relative to the total over all shards."""
    if local.p is None:
        return None
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        share = local.total * np.exp(local.shift - shift) / np.where(total == 0, 1, total)
    return np.asarray(local.p * np.where(local.total == 0, 0, share))


def _join_bias_gradients(parts: list[Array], inputs: AttentionInputs) -> Array:
    """The bias's gradient: side by side for the keys of each shard, added up where all keys share one number."""
    assert inputs.bias is not None
    return np.concatenate(parts, axis=-1) if inputs.bias.shape[-1] > 1 else np.asarray(np.sum(parts, axis=0))
