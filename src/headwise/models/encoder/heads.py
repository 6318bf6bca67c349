"""Heads of loaded models: from hidden states to pooled vectors, class scores or scores of the next token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from headwise.models.encoder.norms import Norm, NormCache, norm_backward, norm_forward
from headwise.nn.activation_functions import ActivationCache, activation_backward, activation_forward
from headwise.nn.linear import LinearCache, linear_backward_parallel, linear_forward
from headwise.nn.params import Params, collect, subtree
from headwise.shapes import Array, BoolArray, IntArray


@dataclass(frozen=True)
class Head:
    """Pooling, then the steps whose parameters exist: ``dense``, activation, ``norm``, ``output``, softcap."""

    # the output that the head reads: ``"last_hidden_state"``, or that of an earlier head
    source: str = "last_hidden_state"
    pool: str = "tokens"  # one of `POOLS`
    prefix: int = 0  # how many tokens ``mean_patches`` and ``first_and_mean`` leave out of the mean
    activation: str | None = None  # follows ``dense``
    norm: Norm = field(default_factory=Norm)
    softcap: float | None = None  # c in y ← c · tanh(y / c)
    scale: float = 1.0  # factor of the output


class HeadCache(NamedTuple):
    """What the backward pass needs of each step."""

    head: Head
    x: Array
    pooling: Array | None
    dense: LinearCache | None
    activation: ActivationCache | None
    norm: NormCache | None
    output: LinearCache | None
    capped: Array | None


def head_forward(
    x: Array, params: Params, head: Head, last: IntArray, visible: BoolArray | None = None
) -> tuple[Array, HeadCache]:
    """Apply a head to x (B, N, D), or to a pooled vector (B, D).

    `last` (B,) is each item's last token; tokens that are not `visible` (B, N) take no part in a mean.
    """
    source = x
    pooling = POOLS[head.pool](x, head.prefix, last, visible)
    if pooling is not None:  # (B, N, D) -> (B, K · D): the weighted sums of the tokens, next to each other
        x = (pooling @ x).reshape(len(x), -1)
    dense = activation = norm = output = capped = None
    if weight := subtree(params, "dense"):
        x, dense = linear_forward(x, weight)
    if head.activation is not None:
        x, activation = activation_forward(x, head.activation)
    if gain := subtree(params, "norm"):
        x, norm = norm_forward(x, gain, head.norm)
    if weight := subtree(params, "output"):
        x, output = linear_forward(x, weight)
    if head.scale != 1.0:
        x = x * x.dtype.type(head.scale)
    if head.softcap is not None:
        x = capped = head.softcap * np.tanh(x / head.softcap)
    return x, HeadCache(head, source, pooling, dense, activation, norm, output, capped)


def head_backward(dy: Array, cache: HeadCache) -> tuple[Array, Params]:
    """Gradients with respect to the source, and to the parameters."""
    head, grads, dx = cache.head, Params(), dy
    if cache.capped is not None and head.softcap is not None:
        dx = dx * (1 - (cache.capped / head.softcap) ** 2)
    if head.scale != 1.0:
        dx = dx * dx.dtype.type(head.scale)
    if cache.output is not None:
        dx = collect(grads, "output", linear_backward_parallel(dx, cache.output))
    if cache.norm is not None:
        dx = collect(grads, "norm", norm_backward(dx, cache.norm))
    if cache.activation is not None:
        dx = activation_backward(dx, cache.activation)
    if cache.dense is not None:
        dx = collect(grads, "dense", linear_backward_parallel(dx, cache.dense))
    if cache.pooling is not None:
        dx = cache.pooling.mT @ dx.reshape(*cache.pooling.shape[:2], cache.x.shape[-1])
    return dx, grads


def _at(x: Array, index: IntArray | int) -> Array:
    """Weights (B, 1, N) that select one token of each item."""
    weights = np.zeros((len(x), 1, x.shape[1]), x.dtype)
    weights[np.arange(len(x)), 0, index] = 1
    return weights


def _mean(x: Array, prefix: int, visible: BoolArray | None) -> Array:
    """Weights (B, 1, N) of the mean of the visible tokens but the first ones."""
    counted = np.ones((len(x), x.shape[1]), bool) if visible is None else np.broadcast_to(visible, x.shape[:2]).copy()
    counted[:, :prefix] = False
    weights = counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)
    return np.asarray(weights[:, None], x.dtype)


# weights (B, K, N) of the tokens; None leaves x as it is
POOLS: dict[str, Callable[[Array, int, IntArray, BoolArray | None], Array | None]] = {
    "tokens": lambda x, prefix, last, visible: None,
    "first": lambda x, prefix, last, visible: _at(x, 0),
    "second": lambda x, prefix, last, visible: _at(x, 1),
    "final": lambda x, prefix, last, visible: _at(x, -1),
    "last": lambda x, prefix, last, visible: _at(x, last),
    "mean_patches": lambda x, prefix, last, visible: _mean(x, prefix, visible),
    "all": lambda x, prefix, last, visible: np.broadcast_to(
        np.eye(x.shape[1], dtype=x.dtype), (len(x), *x.shape[1:2] * 2)
    ),
    "first_and_mean": lambda x, prefix, last, visible: np.concatenate([_at(x, 0), _mean(x, prefix, visible)], axis=1),
}
