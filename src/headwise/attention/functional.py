"""One face for every engine: `attention`, and its forward and backward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy.typing as npt

from headwise.attention import blockwise, dense
from headwise.attention.compiled import engine as compiled
from headwise.attention.inputs import AttentionInputs, validate_inputs
from headwise.attention.masks import Align, Window
from headwise.errors import DataError
from headwise.jit import numba_available
from headwise.shapes import Array, as_float_arrays, bind

__all__ = ["AttentionCache", "attention", "attention_backward", "attention_forward"]

ENGINES: dict[str, ModuleType] = {"dense": dense, "blockwise": blockwise, "compiled": compiled}

Engine = Literal["auto", "dense", "blockwise", "compiled"]


@dataclass(frozen=True, slots=True)
class AttentionCache:
    """What `attention_backward` needs from the forward pass."""

    problem: AttentionInputs
    engine: ModuleType
    saved: Any


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
    return_weights: bool = False,
    return_lse: bool = False,
    engine: Engine = "auto",
) -> Any:
    r"""Scaled dot-product attention.

    .. math:: o = \mathrm{softmax}(\mathrm{hide}(\mathrm{softcap}(\mathrm{scale} \cdot q k^\top) + \mathrm{bias}))\, v

    Parameters
    ----------
    q : array_like of shape (..., H, N, d)
        Queries.
    k : array_like of shape (..., G, M, d)
        Keys. H is a multiple of G; query head h reads key head h // (H/G).
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
        Lines up the first query with the first key, or the last query with the last valid key. Needed for `causal`
        and `window` where N ≠ M.
    lengths : array_like of int of shape (...,), optional
        How many keys of each item are valid; the rest are hidden.
    scale : float, optional
        Factor of the logits; 1/√d by default.
    softcap : float, optional
        c > 0: logits become c · tanh(logits / c), before bias and mask.
    return_weights : bool
        Also return the attention weights p.
    return_lse : bool
        Also return the log-sum-exp of the logits.
    engine : {"auto", "dense", "blockwise", "compiled"}
        How it is computed; the answer is the same.

    Returns
    -------
    o : ndarray of shape (..., H, N, e)
        In the type of the inputs. A query that may attend to nothing gets zeros.
    p : ndarray of shape (..., H, N, M)
        With `return_weights`, second in a tuple. Rows sum to one, or to zero where there is nothing to attend to.
    lse : ndarray of shape (..., H, N)
        With `return_lse`, last in a tuple. −inf where there is nothing to attend to.

    Raises
    ------
    ShapeError
        If the shapes do not fit one another.
    MaskError
        If a mask is not boolean, or `align` is missing where it matters.
    DataError
        If an array holds integers, or NaN or infinities that are attended to.

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
    result, _ = attention_forward(
        q,
        k,
        v,
        mask=mask,
        bias=bias,
        causal=causal,
        window=window,
        align=align,
        lengths=lengths,
        scale=scale,
        softcap=softcap,
        return_weights=return_weights,
        return_lse=return_lse,
        engine=engine,
    )
    return result


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
    return_weights: bool = False,
    return_lse: bool = False,
    engine: Engine = "auto",
) -> tuple[Any, AttentionCache]:
    """`attention`, and what its backward pass needs.

    Parameters
    ----------
    q, k, v, mask, bias, causal, window, align, lengths, scale, softcap, return_weights, return_lse, engine
        As in `attention`.

    Returns
    -------
    result
        What `attention` returns: o, or a tuple that begins with it.
    cache : Cache
        For `attention_backward`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> q, k, v, do = rng.normal(size=(4, 2, 5, 8))
    >>> o, cache = attention_forward(q, k, v)
    >>> dq, dk, dv = attention_backward(do, cache)
    """
    asked = validate_inputs(
        q,
        k,
        v,
        mask=mask,
        bias=bias,
        causal=causal,
        window=window,
        align=align,
        lengths=lengths,
        scale=scale,
        softcap=softcap,
    )
    chosen = _choose(engine, asked.q, asked.k)
    o, p, saved = chosen.forward(asked, return_weights)
    outputs = [o]
    if return_weights:
        outputs.append(p)
    if return_lse:
        outputs.append(saved.lse())
    result = tuple(array.astype(asked.dtype, copy=False) for array in outputs)
    return (result if len(result) > 1 else result[0]), AttentionCache(asked, chosen, saved)


def attention_backward(do: npt.ArrayLike, cache: AttentionCache) -> tuple[Array, ...]:
    """Gradients of ``sum(do * o)`` with respect to what `attention_forward` was given.

    Parameters
    ----------
    do : array_like of shape (..., H, N, e)
        Gradient with respect to the output.
    cache : Cache
        From `attention_forward`.

    Returns
    -------
    dq, dk, dv : ndarray
        Of the shapes of q, k and v.
    dbias : ndarray
        Of the shape of the bias; only where one was given.

    Raises
    ------
    ShapeError
        If `do` has not the shape of the output.

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
    asked = cache.problem
    *lead, heads, n, _ = asked.shape
    (cotangent,) = as_float_arrays(do=do)
    expected = (*lead, heads, n, asked.v.shape[-1])
    if cotangent.shape != expected:
        bind(" ".join(map(str, expected)), do=cotangent)
    dq, dk, dv, dbias = cache.engine.backward(cache.saved, cotangent.astype(asked.q.dtype, copy=False))
    grads = tuple(array.astype(asked.dtype, copy=False) for array in (dq, dk, dv))
    if asked.bias_like is None:
        return grads
    shape, dtype = asked.bias_like
    return (*grads, dbias.reshape(shape).astype(dtype, copy=False))


def _choose(engine: str, q: Array, k: Array) -> ModuleType:
    if engine == "auto":
        return _fastest(q.shape, k.shape[-2])
    if engine not in ENGINES:
        raise DataError(f"engine: expected one of auto, {', '.join(ENGINES)}; got {engine!r}.")
    return ENGINES[engine]


def _fastest(shape: tuple[int, ...], m: int) -> ModuleType:
    """The engine for queries of this shape and M keys; docs/engine.md has the measurements.

    Below a few thousand logits nothing is worth the import of a compiler. Without one, tiles begin to pay where a head
    has more logits than 64 × 64; many smaller heads are one batch of products, as long as their weights fit in memory.
    """
    head = shape[-2] * m
    every = math.prod(shape[:-2]) * head
    if every > 4096 and numba_available():
        return compiled
    return blockwise if head > 4096 or every > 2**26 else dense
