"""Arguments and results in forms that are read by their code: caches, blocks, repeats, matrices of each head."""

from dataclasses import dataclass

import numpy as np
import pytest

import headwise as hw
from planted.handwritten import softmax


def scaled(q, k):
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def of_cache(q_t, cache):
    """q_t (B, H, 1, d), cache {"k": (B, H, T, d), "v": (B, H, T, d)}"""
    return softmax(scaled(q_t, cache["k"])) @ cache["v"]


def of_cache_without_scale(q_t, cache):
    """q_t (B, H, 1, d), cache {"k": (B, H, T, d), "v": (B, H, T, d)}"""
    return softmax(q_t @ np.swapaxes(cache["k"], -1, -2)) @ cache["v"]


def by_head(X, M, P_q, P_k, P_v, P_o):
    """X (b, n, d), M (b, m, d); P_q and P_k (h, d, k), P_v and P_o (h, d, v)"""
    Q, K = np.einsum("bnd,hdk->bhnk", X, P_q), np.einsum("bmd,hdk->bhmk", M, P_k)
    heads = softmax(scaled(Q, K)) @ np.einsum("bmd,hdv->bhmv", M, P_v)
    return np.einsum("bhnv,hdv->bnd", heads, P_o)


def with_one_key_head(x, P_q, P_k, P_v, P_o):
    """x (n, d), P_q (h, d, k), P_k (d, k), P_v (d, v), P_o (h, d, v)"""
    weights = softmax(scaled(np.einsum("nd,hdk->hnk", x, P_q), x @ P_k))
    return np.einsum("hnv,hdv->nd", weights @ (x @ P_v), P_o)


def without_key_heads(q, k, v):
    """q (b, h, n, d), k and v (b, m, d)"""
    weights = softmax(np.einsum("bhnd,bmd->bhnm", q, k) / np.sqrt(q.shape[-1]))
    return np.einsum("bhnm,bmd->bhnd", weights, v)


def tiled(q, k, v, n_rep):
    """q (b, h, n, d), k and v (b, h / n_rep, n, d)"""
    k, v = np.concatenate([k] * n_rep, axis=1), np.concatenate([v] * n_rep, axis=1)
    return softmax(scaled(q, k)) @ v


@dataclass
class Result:
    output: np.ndarray
    weights: np.ndarray


def of_dataclass(q, k, v):
    weights = softmax(scaled(q, k))
    return Result(weights @ v, weights)


def with_short_name(Q, K, V, M=None):
    """M: ones where attention is allowed"""
    weights = softmax(scaled(Q, K))
    return (weights if M is None else weights * M) @ V


def in_blocks(q, k, v, block=96):
    """q, k, v (N, d)"""
    output, total, top = np.zeros((len(q), v.shape[1])), np.zeros((len(q), 1)), np.full((len(q), 1), -np.inf)
    for start in range(0, len(k), block):
        s = scaled(q, k[start : start + block])
        new = np.maximum(top, s.max(axis=1, keepdims=True))
        e = np.exp(s - new)
        output = output + e @ v[start : start + block]
        total, top = total * np.exp(top - new) + e.sum(axis=1, keepdims=True), new
    return output / total


def padding_as_numbers(Q, K, V, padding_mask):
    """padding_mask (batch, keys): 1 at padding"""
    return softmax(scaled(Q, K) + padding_mask[:, None, :]) @ V


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (of_cache, ()),
        (of_cache_without_scale, ("scale-missing",)),
        (by_head, ()),
        (with_one_key_head, ()),
        (without_key_heads, ()),
        (tiled, ("groups-tiled",)),
        (of_dataclass, ()),
        (with_short_name, ("mask-after-softmax",)),
        (in_blocks, ("online-not-rescaled",)),
        (padding_as_numbers, ("mask-added-as-number",)),
    ],
)
def test_arguments_are_read(function, mistakes):
    verdict = hw.check(function)
    assert verdict.mistakes == mistakes
    assert verdict.untested == ()
