"""Matrices that are layers, caches that are lists, and configurations, as arguments or as variables of a file."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

import headwise as hw

HYPERPARAMETERS = {"h": 4, "width": 16, "causal": True}


@dataclass(frozen=True)
class Settings:
    heads: int = 4
    n_embd: int = 16


class Config:
    n_head = 4
    n_embd = 16


settings, namespace = Settings(), SimpleNamespace(n_head=4, n_embd=16)


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v, heads, width, causal=False):
    """Heads next to each other in q, k and v (N, D)."""
    q, k, v = (x.reshape(len(x), heads, width).transpose(1, 0, 2) for x in (q, k, v))
    s = q @ k.transpose(0, 2, 1) / np.sqrt(width)
    s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf) if causal else s
    return (softmax(s) @ v).transpose(1, 0, 2).reshape(q.shape[1], -1)


def with_dictionary(x, Wq, Wk, Wv, Wo):
    heads = HYPERPARAMETERS["h"]
    return attention(x @ Wq, x @ Wk, x @ Wv, heads, Wq.shape[1] // heads, HYPERPARAMETERS["causal"]) @ Wo


def with_dataclass(x, Wq, Wk, Wv, Wo):
    return attention(x @ Wq, x @ Wk, x @ Wv, settings.heads, settings.n_embd // settings.heads) @ Wo


def with_namespace_unscaled(x, Wq, Wk, Wv, Wo):
    width = namespace.n_embd // namespace.n_head
    return attention(x @ Wq * np.sqrt(width), x @ Wk, x @ Wv, namespace.n_head, width) @ Wo


def with_class_of_settings(x, Wq, Wk, Wv, Wo):
    q = x @ Wq / np.sqrt(Config.n_head)
    return attention(q, x @ Wk, x @ Wv, Config.n_head, Config.n_embd // Config.n_head) @ Wo


def with_config(x, Wq, Wk, Wv, Wo, config):
    return attention(x @ Wq, x @ Wk, x @ Wv, config["heads"], x.shape[1] // config["heads"]) @ Wo


def with_widths_in_config(x, Wq, Wk, Wv, Wo, cfg):
    return attention(x @ Wq, x @ Wk, x @ Wv, cfg.nheads, cfg.d_k) @ Wo


def with_params_and_heads(x, params):
    """params has a number of heads next to its matrices, of which the last is that of the output."""
    heads = params["num_heads"]
    q, k, v = x @ params["wq"], x @ params["wk"], x @ params["wv"]
    return attention(q, k, v, heads, x.shape[1] // heads) @ params["wo"]


def with_list_of_matrices(x, weights, heads):
    q, k, v = (x @ w for w in weights[:3])
    return attention(q, k, v, heads, x.shape[1] // heads) @ weights[-1]


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (with_dictionary, ()),
        (with_dataclass, ()),
        (with_namespace_unscaled, ("scale-missing",)),
        (with_class_of_settings, ("scale-model-width",)),
        (with_config, ()),
        (with_widths_in_config, ()),
        (with_params_and_heads, ()),
        (with_list_of_matrices, ()),
    ],
)
def test_configurations(function, mistakes):
    verdict = hw.check(function)
    assert verdict.mistakes == mistakes, verdict.report()
    assert HYPERPARAMETERS["h"] == Config.n_head == settings.heads == namespace.n_head == 4


def layers_for_each(x, q_proj, k_proj, v_proj, o_proj, heads):
    q, k, v = q_proj(x), k_proj(x), v_proj(x)
    return o_proj(attention(q, k, v, heads, q_proj.out_features // heads))


def layers_in_a_dictionary(x, layers, heads):
    q, k, v = (layers[name](x) for name in ("query", "key", "value"))
    q = q / np.sqrt(heads)
    return layers["output"](attention(q, k, v, heads, q.shape[1] // heads))


def query_layer_for_keys(x, to_q, to_k, to_v):
    return attention(to_q(x), to_q(x), to_v(x), 1, x.shape[1])


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (layers_for_each, ()),
        (layers_in_a_dictionary, ("scale-model-width",)),
        (query_layer_for_keys, ("weights-reused",)),
    ],
)
def test_matrices_as_layers(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def lists_of_one_head(x, cache, Wq, Wk, Wv):
    """One decoding step: x (D,), cache with lists of earlier keys and values."""
    cache["k"].append(x @ Wk)
    cache["v"].append(x @ Wv)
    return softmax(np.stack(cache["k"]) @ (x @ Wq) / np.sqrt(Wk.shape[1])) @ np.stack(cache["v"])


def lists_of_heads(q, k, v, keys_cache, values_cache):
    """One decoding step: q, k, v (B, H, 1, d), and lists of these for earlier tokens."""
    keys_cache.append(k)
    values_cache.append(v)
    k, v = (np.concatenate(cache, axis=2) for cache in (keys_cache, values_cache))
    return softmax(q @ k.swapaxes(-1, -2) / q.shape[-1]) @ v


def own_key_too_late(x, cache, Wq, Wk, Wv):
    weights = softmax(np.array([x @ Wq @ key for key in cache["k"]]) / np.sqrt(Wk.shape[1]))
    output = weights @ np.stack(cache["v"])
    cache["k"].append(x @ Wk)
    cache["v"].append(x @ Wv)
    return output


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [(lists_of_one_head, ()), (lists_of_heads, ("scale-no-root",)), (own_key_too_late, ("causal-strict",))],
)
def test_caches_as_lists(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def with_sizes(x, context, Wq, Wk, Wv, Wo, N, M, heads):
    q = (x @ Wq).reshape(N, heads, -1)
    k, v = ((context @ W).reshape(M, heads, -1) for W in (Wk, Wv))
    p = softmax(np.einsum("nhd,mhd->hnm", q, k) / np.sqrt(q.shape[-1]))
    return np.einsum("hnm,mhd->nhd", p, v).reshape(N, -1) @ Wo


def with_small_letters(x, Wq, Wk, Wv, b, t, h):
    q, k, v = ((x @ W).reshape(b, t, h, -1) for W in (Wq, Wk, Wv))
    return np.einsum("bhij,bjhd->bihd", softmax(np.einsum("bihd,bjhd->bhij", q, k)), v).reshape(b, t, -1)


def with_numbers_of_keys(q, k, v, T, S):
    """q (B, H, T, d), k and v (B, H, S, d)"""
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    return softmax(np.where(np.ones((T, S), dtype=bool), s, -np.inf)) @ v


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [(with_sizes, ()), (with_small_letters, ("scale-missing",)), (with_numbers_of_keys, ())],
)
def test_sizes_as_letters(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def one_stack_for_queries(X, W_Q, W_K, W_V, W_O):
    """W_Q, W_K, W_V: (n_heads, d_model, d_head); W_O: (n_heads * d_head, d_model)."""
    heads = [softmax(X @ W_Q[0] @ (X @ W_K[h]).T / np.sqrt(W_K.shape[-1])) @ (X @ W_V[h]) for h in range(len(W_K))]
    return np.concatenate(heads, axis=-1) @ W_O


def test_the_shape_of_the_output_matrix_says_nothing_of_the_others():
    assert hw.check(one_stack_for_queries).mistakes == ("heads-share-matrices",)
