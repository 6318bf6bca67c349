"""Scaled dot-product attention: `attention`, and its forward and backward pass, by any engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.attention.base import Engine, ForwardCache
from headwise.attention.cluster import ShardedEngine, is_dask_array, split_shards
from headwise.attention.engines import EngineName, choose_engine, run_forward
from headwise.attention.inputs import AttentionInputs, all_finite, as_stored_arrays, validate_inputs
from headwise.attention.masks import Align, Window
from headwise.attention.sinks import add_sinks, sinks_gradient, validate_sinks
from headwise.errors import DataError
from headwise.representation import brief_repr
from headwise.shapes import Array, bind
from headwise.validation import check_bools


@dataclass(slots=True, eq=False)
class AttentionCache:
    """What `attention_backward` needs from the forward pass."""

    inputs: AttentionInputs
    engine: Engine
    forward: ForwardCache
    sinks: Array | None = None  # as validated, in their own shape and type
    sink_weights: Array | None = None  # (..., H, N, 1)

    __repr__ = brief_repr


def attention(
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    v: npt.ArrayLike,
    *,
    mask: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    causal: bool = False,
    window: Window = None,
    align: Align = None,
    lengths: npt.ArrayLike | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    sinks: npt.ArrayLike | None = None,
    return_weights: bool = False,
    return_lse: bool = False,
    engine: EngineName = "auto",
) -> Any:
    r"""Scaled dot-product attention.

    .. math:: o = \mathrm{softmax}(\mathrm{hide}(\mathrm{softcap}(\mathrm{scale} \cdot q k^\top) + \mathrm{bias}))\, v

    Parameters
    ----------
    q : array_like of shape (..., H, N, d)
        Queries.
    k : array_like of shape (..., G, M, d)
        Keys. H is a multiple of G; query head h reads key head h // (H/G). k and v may be Dask arrays in chunks along
        M, which are then computed where they are (docs/cluster.md).
    v : array_like of shape (..., G, M, e)
        Values.
    mask : array_like of bool, optional
        Broadcastable to (..., H, N, M); True attends.
    bias : array_like of float, optional
        Broadcastable to (..., H, N, M), added to the logits; −inf hides.
    causal : bool
        A query sees keys up to the one it is aligned with.
    window : (int or None, int or None), optional
        How many keys before and after its aligned key a query may see; None is unbounded.
    align : {"start", "end"}, optional
        Lines up the first query with the first key, or the last query with the last valid key. Required for `causal`
        and `window` if N ≠ M.
    lengths : array_like of int of shape (...,), optional
        How many keys of each item are valid; the rest are hidden.
    scale : float, optional
        Factor of the logits; 1/√d by default.
    softcap : float, optional
        c > 0: logits become c · tanh(logits / c), before bias and mask.
    sinks : array_like of float of shape (..., H), optional
        One logit per head that takes part in the softmax of every query and has no value: the weights of a row sum to
        one less the sink's share. −inf is no sink.
    return_weights : bool
        Also return the attention weights p.
    return_lse : bool
        Also return the log-sum-exp of the logits.
    engine : {"auto", "dense", "blockwise", "compiled"}
        Implementation; results agree to rounding.

    Returns
    -------
    o : ndarray of shape (..., H, N, e)
        In the type of the inputs; zeros for a query that may attend to nothing.
    p : ndarray of shape (..., H, N, M)
        With `return_weights`, second in a tuple. Rows sum to one, or to zero for a query that may attend to nothing.
    lse : ndarray of shape (..., H, N)
        With `return_lse`, last in a tuple. It includes the sinks; −inf for a query that may attend to nothing.

    Raises
    ------
    ShapeError
        If the shapes do not fit one another.
    MaskError
        If a mask is not boolean, or `align` is missing where it matters.
    DataError
        If an array holds integers, or NaN or infinity where it is attended to; or if the logits overflow.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(3, 2, 4, 8))  # two heads, four tokens, width eight
    >>> o, p = attention(q, k, v, causal=True, return_weights=True)
    >>> p[0].round(2)
    array([[1.  , 0.  , 0.  , 0.  ],
           [0.41, 0.59, 0.  , 0.  ],
           [0.23, 0.46, 0.31, 0.  ],
           [0.09, 0.36, 0.43, 0.13]])
    """
    options = {
        "mask": mask,
        "bias": bias,
        "causal": causal,
        "window": window,
        "align": align,
        "lengths": lengths,
        "scale": scale,
        "softcap": softcap,
    }
    outputs, _ = _compute(q, k, v, sinks, options, return_weights, return_lse, engine)
    return outputs if len(outputs) > 1 else outputs[0]


def attention_forward(
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    v: npt.ArrayLike,
    *,
    mask: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    causal: bool = False,
    window: Window = None,
    align: Align = None,
    lengths: npt.ArrayLike | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    sinks: npt.ArrayLike | None = None,
    return_weights: bool = False,
    return_lse: bool = False,
    engine: EngineName = "auto",
) -> tuple[Any, AttentionCache]:
    """Attention, and the cache that its backward pass needs.

    Parameters
    ----------
    q, k, v, mask, bias, causal, window, align, lengths, scale, softcap, sinks, return_weights, return_lse, engine
        As in `attention`.

    Returns
    -------
    result
        What `attention` returns: o, or a tuple that begins with it. It may be changed without affecting the cache.
    cache : AttentionCache
        For `attention_backward`; it refers to q, k and v, which must not be changed before.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> q, k, v, do = rng.normal(size=(4, 2, 5, 8))
    >>> o, cache = attention_forward(q, k, v)
    >>> dq, dk, dv = attention_backward(do, cache)
    """
    options = {
        "mask": mask,
        "bias": bias,
        "causal": causal,
        "window": window,
        "align": align,
        "lengths": lengths,
        "scale": scale,
        "softcap": softcap,
    }
    (o, *others), cache = _compute(q, k, v, sinks, options, return_weights, return_lse, engine)
    # copies, so that changing the results in place does not change the gradients
    o, others = o.copy(), [array.copy() if array is cache.forward.p else array for array in others]
    return (o, *others) if others else o, cache


def attention_backward(do: npt.ArrayLike, cache: AttentionCache) -> tuple[Array, ...]:
    """Gradients of ``sum(do * o)`` with respect to what `attention_forward` was given.

    Parameters
    ----------
    do : array_like of shape (..., H, N, e)
        Gradient with respect to the output.
    cache : AttentionCache
        From `attention_forward`.

    Returns
    -------
    dq, dk, dv : ndarray
        Of the shapes of q, k and v.
    dbias, dsinks : ndarray
        In this order, each only if that argument was passed, and of its shape.

    Raises
    ------
    ShapeError
        If `do` does not have the shape of the output.
    DataError
        If `cache` is something else.

    Examples
    --------
    The sum of the outputs depends on the values alone, since the weights of a row always sum to one:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(3, 1, 5, 4))  # one head, five tokens, width four
    >>> o, cache = attention_forward(q, k, np.ones_like(v))
    >>> dq, dk, dv = attention_backward(np.ones_like(o), cache)
    >>> float(abs(dq).max()) < 1e-12, dv.shape, round(float(dv.sum()), 12)
    (True, (1, 5, 4), 20.0)
    """
    if not isinstance(cache, AttentionCache):
        raise DataError(f"cache: expected the one that attention_forward returned; got {type(cache).__name__}.")
    (cotangent,) = as_stored_arrays(do=do)
    if cotangent.shape != cache.forward.o.shape:
        bind(" ".join(map(str, cache.forward.o.shape)), do=cotangent)
    with np.errstate(over="ignore", invalid="ignore"):  # a cotangent that is not finite gives such gradients
        gradients, finite = _gradients(cache, cotangent.astype(cache.inputs.q.dtype, copy=False))
        if not finite:
            gradients = _scaled_gradients(cache, cotangent.astype(np.float64))
        types = [cache.inputs.dtype] * 3
        if cache.inputs.bias_like is not None:
            shape, dtype = cache.inputs.bias_like
            gradients[3] = gradients[3].reshape(shape)
            types.append(dtype)
        if cache.sinks is not None:
            types.append(cache.sinks.dtype)
        return tuple(array.astype(dtype, copy=False) for array, dtype in zip(gradients, types, strict=True))


def _gradients(cache: AttentionCache, do: Array) -> tuple[list[Array], bool]:
    """As `attention_backward`, in the type of the computation; and whether all numbers are finite."""
    grads = cache.engine.backward(cache.forward, do)
    gradients = [grads.dq, grads.dk, grads.dv] + ([] if grads.dbias is None else [grads.dbias])
    if cache.sinks is not None and cache.sink_weights is not None:
        gradients.append(sinks_gradient(cache.forward, cache.sink_weights, do, cache.sinks.shape))
    return gradients, grads.finite and all_finite(*gradients[3:])


def _scaled_gradients(cache: AttentionCache, do: Array) -> list[Array]:
    """As `_gradients`, in float64 and from a `do` divided by a power of two with which no product overflows."""
    if not np.isfinite(do).all():  # of queries that attend to nothing it has no influence
        empty = cache.forward.total == 0 if cache.sink_weights is None else cache.sink_weights == 1
        do = np.where(empty, 0.0, do)
    inputs = cache.inputs
    bias = None if inputs.bias is None else inputs.bias.astype(np.float64)
    _, wide = _run(cache.engine, replace(inputs, q=inputs.q.astype(np.float64), bias=bias), cache.sinks, False)
    exponent = _gradient_exponent(inputs, do)
    return [np.ldexp(array, exponent) for array in _gradients(wide, np.ldexp(do, -exponent))[0]]


def _gradient_exponent(inputs: AttentionInputs, do: Array) -> int:
    """The least n ≥ 0 with which gradients of do / 2ⁿ stay below 2⁹⁰⁰, so that an engine may multiply them by e⁴⁰."""
    exponents = [
        np.frexp(np.where(np.isfinite(array), array, 0).astype(np.float64))[1].max(initial=0)
        for array in (inputs.q, inputs.k, inputs.v, do)
    ]
    q, k, v, cotangent = map(int, exponents)
    largest = cotangent + v + max(0, math.frexp(inputs.scale)[1] + max(q, k)) + sum(inputs.shape[-2:]).bit_length()
    return int(max(0, largest + inputs.v.shape[-1].bit_length() - 900))


def _compute(
    q: npt.ArrayLike,
    k: npt.ArrayLike,
    v: npt.ArrayLike,
    sinks: npt.ArrayLike | None,
    options: dict[str, Any],
    return_weights: bool,
    return_lse: bool,
    engine: str,
) -> tuple[tuple[Array, ...], AttentionCache]:
    """The requested outputs, which may share memory with the cache, and the cache."""
    check_bools(return_weights=return_weights, return_lse=return_lse)
    shards = None
    if is_dask_array(k) or is_dask_array(v):
        k, v, shards = split_shards(q, k, v)
    inputs = validate_inputs(q, k, v, **options)
    sink_logits = None if sinks is None else validate_sinks(sinks, inputs.shape)
    implementation = choose_engine(engine, inputs)
    if shards is not None:
        implementation = ShardedEngine(shards, engine)
    p, cache = _run(implementation, inputs, sink_logits, return_weights)
    outputs = [cache.forward.o]
    if p is not None:
        outputs.append(p)
    if return_lse:
        outputs.append(cache.forward.lse())
    if inputs.dtype != inputs.q.dtype:
        with np.errstate(over="ignore"):  # a log-sum-exp beyond half precision is infinite
            outputs = [array.astype(inputs.dtype) for array in outputs]
    return tuple(outputs), cache


def _run(
    engine: Engine, inputs: AttentionInputs, sinks: Array | None, weights: bool
) -> tuple[Array | None, AttentionCache]:
    """The engine's forward pass, with the sinks: the weights if requested, and the cache."""
    p, forward = run_forward(engine, inputs, weights)
    if sinks is None:
        return p, AttentionCache(inputs, engine, forward)
    p, forward, sink_weights = add_sinks(forward, p, sinks)
    return p, AttentionCache(inputs, engine, forward, sinks, sink_weights)
