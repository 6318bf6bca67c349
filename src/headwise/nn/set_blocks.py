"""Blocks of set transformers: self-attention (SAB), induced points (ISAB), pooling by attention (PMA).

Source: Lee et al., "Set Transformer", ICML 2019, arXiv 1810.00825, equations 8 to 11. As in the authors' code, pooling
has no feed-forward layer before it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwise.nn.cross_attention import MabCache, mab_backward, mab_forward, mab_params
from headwise.nn.linear import linear_params
from headwise.nn.params import Params, join_params, subtree, with_prefix
from headwise.shapes import Array, IntArray


class IsabCache(NamedTuple):
    """Caches of the two steps: from the set to the induced points, and back."""

    gather: MabCache
    give: MabCache


def sab_params(inputs: int, width: int, rng: np.random.Generator, *, norm: bool) -> Params:
    """Those of one multihead attention block."""
    return mab_params(inputs, inputs, width, rng, norm=norm)


def sab_forward(
    x: Array, params: Params, *, heads: int, lengths: IntArray | None = None, return_weights: bool = False
) -> tuple[Array, MabCache]:
    """Set attention block: MAB(x, x), for x (B, N, X); y is (B, N, D). Cost N²."""
    return mab_forward(x, x, params, heads=heads, lengths=lengths, return_weights=return_weights)


def sab_backward(dy: Array, cache: MabCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, X), and to the parameters."""
    dqueries, dkeys, grads = mab_backward(dy, cache)
    return dqueries + dkeys, grads  # x is both


def isab_params(inputs: int, width: int, points: int, rng: np.random.Generator, *, norm: bool) -> Params:
    """``points`` (P, D), and the blocks ``gather`` and ``give``."""
    return {
        "points": linear_params(width, points, rng)["weight"],
        **with_prefix("gather", mab_params(width, inputs, width, rng, norm=norm)),
        **with_prefix("give", mab_params(inputs, width, width, rng, norm=norm)),
    }


def isab_forward(
    x: Array, params: Params, *, heads: int, lengths: IntArray | None = None, return_weights: bool = False
) -> tuple[Array, IsabCache]:
    """Induced set attention block: MAB(x, MAB(points, x)), for x (B, N, X); y is (B, N, D). Cost N · P."""
    induced, gather = _attend(params["points"], x, subtree(params, "gather"), heads, lengths, return_weights)
    y, give = mab_forward(x, induced, subtree(params, "give"), heads=heads, return_weights=return_weights)
    return y, IsabCache(gather, give)


def isab_backward(dy: Array, cache: IsabCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, X), and to the parameters."""
    dqueries, dinduced, give = mab_backward(dy, cache.give)
    dpoints, dkeys, gather = mab_backward(dinduced, cache.gather)
    grads = {"points": dpoints.sum(axis=0), **join_params(gather=gather, give=give)}
    return dqueries + dkeys, grads  # x is the keys of the first step and the queries of the second


def pma_params(width: int, seeds: int, rng: np.random.Generator, *, norm: bool) -> Params:
    """``seeds`` (S, D), and the block ``ask``."""
    return {
        "seeds": linear_params(width, seeds, rng)["weight"],
        **with_prefix("ask", mab_params(width, width, width, rng, norm=norm)),
    }


def pma_forward(
    x: Array, params: Params, *, heads: int, lengths: IntArray | None = None, return_weights: bool = False
) -> tuple[Array, MabCache]:
    """Pooling by multihead attention: MAB(seeds, x), for x (B, N, D); y is (B, S, D)."""
    return _attend(params["seeds"], x, subtree(params, "ask"), heads, lengths, return_weights)


def pma_backward(dy: Array, cache: MabCache) -> tuple[Array, Params]:
    """Gradients with respect to x (B, N, D), and to the parameters."""
    dseeds, dx, grads = mab_backward(dy, cache)
    return dx, {"seeds": dseeds.sum(axis=0), **with_prefix("ask", grads)}  # shared by all items


def _attend(
    tokens: Array, x: Array, params: Params, heads: int, lengths: IntArray | None, return_weights: bool
) -> tuple[Array, MabCache]:
    """Attend from the same learned tokens to every item of x."""
    queries = np.broadcast_to(tokens, (len(x), *tokens.shape))
    return mab_forward(queries, x, params, heads=heads, lengths=lengths, return_weights=return_weights)
