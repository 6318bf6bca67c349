"""Arguments that hold others: dictionaries whose keys are made, tuples with names, settings, pages of a cache."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

import headwise as hw
from planted.handwritten import softmax


def scaled(q, k):
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def split(a, heads):
    return a.reshape(*a.shape[:-1], heads, -1).swapaxes(-3, -2)


def merged(a):
    return a.swapaxes(-3, -2).reshape(*a.shape[:-3], a.shape[-2], -1)


def of_heads(q, k, v, heads):
    q, k, v = (split(a, heads) for a in (q, k, v))
    return merged(softmax(scaled(q, k)) @ v)


def without_scale(q, k, v, heads):
    q, k, v = (split(a, heads) for a in (q, k, v))
    return merged(softmax(q @ np.swapaxes(k, -1, -2)) @ v)


def with_made_keys(hidden, weights, cfg, prefix="self_attn."):
    def project(x, name):
        return x @ weights[prefix + name + ".weight"].T + weights[prefix + name + ".bias"]

    q, k, v = (project(hidden, name) for name in ("q_proj", "k_proj", "v_proj"))
    return project(of_heads(q, k, v, cfg.num_attention_heads), "out_proj")


def with_made_keys_and_no_scale(hidden, weights, cfg, prefix="self_attn."):
    def project(x, name):
        return x @ weights[prefix + name + ".weight"].T + weights[prefix + name + ".bias"]

    q, k, v = (project(hidden, name) for name in ("q_proj", "k_proj", "v_proj"))
    return project(without_scale(q, k, v, cfg.num_attention_heads), "out_proj")


def of_a_layer(x, state_dict, i, n_heads):
    q, k, v = (x @ state_dict[f"layers.{i}.attention.w{letter}.weight"].T for letter in "qkv")
    return of_heads(q, k, v, n_heads) @ state_dict[f"layers.{i}.attention.wo.weight"].T


def of_a_layer_with_values_as_keys(x, state_dict, i, n_heads):
    q, k, v = (x @ state_dict[f"layers.{i}.attention.w{letter}.weight"].T for letter in "qvk")
    return of_heads(q, k, v, n_heads) @ state_dict[f"layers.{i}.attention.wo.weight"].T


def with_a_path_as_key(params, x, num_heads):
    q, k, v = (x @ params[f"mha/{name}"]["w"] + params[f"mha/{name}"]["b"] for name in ("query", "key", "value"))
    return of_heads(q, k, v, num_heads) @ params["mha/linear"]["w"] + params["mha/linear"]["b"]


def with_projections_next_to_tokens(query, key, value, params, num_heads):
    q, k, v = (
        query @ params["Wq"] + params["bq"],
        key @ params["Wk"] + params["bk"],
        value @ params["Wv"] + params["bv"],
    )
    return of_heads(q, k, v, num_heads) @ params["Wo"] + params["bo"]


def with_a_bias_left_out(query, key, value, params, num_heads):
    """params: Wq, bq, Wk, bk, Wv, bv, Wo, bo"""
    q, k, v = query @ params["Wq"] + params["bq"], key @ params["Wk"] + params["bk"], value @ params["Wv"]
    return of_heads(q, k, v, num_heads) @ params["Wo"] + params["bo"]


class Projected(NamedTuple):
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray


def of_a_tuple(qkv: Projected):
    return softmax(scaled(qkv.q, qkv.k)) @ qkv.v


def of_a_tuple_over_queries(qkv: Projected):
    return softmax(scaled(qkv.q, qkv.k), axis=-2) @ qkv.v


@dataclass
class Inputs:
    queries: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    causal: bool = False


def of_a_dataclass(inputs: Inputs):
    s = scaled(inputs.queries, inputs.keys)
    return softmax(np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf) if inputs.causal else s) @ inputs.values


def of_a_dataclass_never_causal(inputs: Inputs):
    return softmax(scaled(inputs.queries, inputs.keys)) @ inputs.values


def of_a_dictionary(batch):
    return softmax(np.where(batch["mask"], scaled(batch["query"], batch["key"]), -np.inf)) @ batch["value"]


def of_a_dictionary_with_an_inverted_mask(batch):
    """The mask is True where a query may attend."""
    return softmax(np.where(batch["mask"], -np.inf, scaled(batch["query"], batch["key"]))) @ batch["value"]


def eager(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    key, value = (np.repeat(a, module.num_key_value_groups, axis=1) for a in (key, value))
    s = query @ key.swapaxes(-1, -2) * scaling + attention_mask[..., : key.shape[-2]]
    weights = softmax(s)
    assert not module.training
    return (weights @ value).swapaxes(1, 2), weights


def eager_with_tiled_heads(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    key, value = (np.tile(a, (1, module.num_key_value_groups, 1, 1)) for a in (key, value))
    weights = softmax(query @ key.swapaxes(-1, -2) * scaling + attention_mask)
    return (weights @ value).swapaxes(1, 2), weights


def in_pages(query, key_cache, value_cache, block_tables, context_lens, short=0):
    """query (items, heads, d), caches (blocks, block_size, heads, d)."""
    out = np.zeros_like(query)
    for item, count in enumerate(context_lens):
        k, v = (a[block_tables[item]].reshape(-1, *a.shape[2:])[: count - short] for a in (key_cache, value_cache))
        if count > short:
            out[item] = np.einsum(
                "ht,thd->hd", softmax(np.einsum("hd,thd->ht", query[item], k) / k.shape[-1] ** 0.5), v
            )
    return out


def in_pages_without_the_last(query, key_cache, value_cache, block_tables, context_lens):
    return in_pages(query, key_cache, value_cache, block_tables, context_lens, short=1)


def of_a_tuple_of_heads(X, params):
    V, K, Q, O = params
    heads = [softmax(X @ Q[h] @ (X @ K[h]).T / Q.shape[-1] ** 0.5) @ X @ V[h] for h in range(len(Q))]
    return np.hstack(heads) @ O


def of_a_tuple_of_heads_unscaled(X, params):
    V, K, Q, O = params
    heads = [softmax(X @ Q[h] @ (X @ K[h]).T) @ X @ V[h] for h in range(len(Q))]
    return np.hstack(heads) @ O


def with_a_list_of_biases(query, key, value, biases):
    s = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    for bias in biases:
        s = s + bias
    return softmax(s) @ value


def with_a_list_of_biases_before_the_scale(q, k, v, biases=None):
    s = q @ k.swapaxes(-1, -2)
    for bias in biases or []:
        s = s + bias
    return softmax(s / np.sqrt(q.shape[-1])) @ v


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("right", "wrong", "mistakes"),
    [
        (with_made_keys, with_made_keys_and_no_scale, {"scale-missing"}),
        (of_a_layer, of_a_layer_with_values_as_keys, {"kv-swapped"}),
        (with_a_path_as_key, None, set()),
        (of_a_tuple_of_heads, of_a_tuple_of_heads_unscaled, {"scale-missing"}),
        (with_a_list_of_biases, with_a_list_of_biases_before_the_scale, {"bias-before-scale"}),
        (with_projections_next_to_tokens, with_a_bias_left_out, {"bias-missing"}),
        (of_a_tuple, of_a_tuple_over_queries, {"softmax-axis"}),
        (of_a_dataclass, of_a_dataclass_never_causal, {"causal-missing"}),
        (of_a_dictionary, of_a_dictionary_with_an_inverted_mask, {"mask-inverted"}),
        (eager, eager_with_tiled_heads, {"groups-tiled"}),
        (in_pages, in_pages_without_the_last, {"lengths-off-by-one"}),
    ],
)
def test_what_an_argument_holds_is_passed(right, wrong, mistakes):
    verdict = hw.check(right)
    assert verdict.ok, verdict.report()
    if wrong is not None:
        assert set(hw.check(wrong).mistakes) == mistakes


def eager_with_sinks(module, query, key, value, attention_mask, scaling, **kwargs):
    s = query @ key.swapaxes(-1, -2) * scaling + attention_mask[:, :, :, : key.shape[-2]]
    s = np.concatenate([s, np.broadcast_to(module.sinks.reshape(1, -1, 1, 1), (*s.shape[:3], 1))], axis=-1)
    return (softmax(s)[..., :-1] @ value).swapaxes(1, 2)


def eager_with_sinks_divided_away(module, query, key, value, attention_mask, scaling, **kwargs):
    s = query @ key.swapaxes(-1, -2) * scaling + attention_mask[:, :, :, : key.shape[-2]]
    s = np.concatenate([s, np.broadcast_to(module.sinks.reshape(1, -1, 1, 1), (*s.shape[:3], 1))], axis=-1)
    weights = softmax(s)[..., :-1]
    return (weights / weights.sum(axis=-1, keepdims=True) @ value).swapaxes(1, 2)


@pytest.mark.parity
def test_keys_are_learned_next_to_torch_too():
    pytest.importorskip("torch")
    assert hw.check(with_made_keys).ok


@pytest.mark.exhaustive
def test_sinks_may_be_an_attribute_of_the_settings():
    assert hw.check(eager_with_sinks).ok
    assert hw.check(eager_with_sinks_divided_away).mistakes == ("sinks-ignored",)


def of_two_inputs(inputs, Wq, Wk, Wv):
    x, context = inputs
    return softmax(scaled(x @ Wq, context @ Wk)) @ (context @ Wv)


def of_the_first_of_two_inputs(inputs, Wq, Wk, Wv):
    x, _context = inputs
    return softmax(scaled(x @ Wq, x @ Wk)) @ (x @ Wv)


def of_a_triple(inputs):
    q, k, v = inputs
    return softmax(scaled(q, k)) @ v


def of_looked_up_inputs(inputs, Wq, Wk, Wv):
    q, k, v = inputs["query"] @ Wq, inputs["key"] @ Wk, inputs["value"] @ Wv
    return softmax(scaled(q, k)) @ v


def of_inputs_with_a_mask(inputs):
    q, k, v, mask = inputs["q"], inputs["k"], inputs["v"], inputs["mask"]
    return softmax(np.where(mask, scaled(q, k), -1e9)) @ v


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (of_two_inputs, ()),
        (of_the_first_of_two_inputs, ("context-ignored",)),
        (of_a_triple, ()),
        (of_looked_up_inputs, ()),
        (of_inputs_with_a_mask, ()),
    ],
)
def test_tokens_come_together_in_one_argument(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def with_short_names_of_counts(x, params, n_q=4, n_kv=2):
    q = (x @ params["wq"]).reshape(len(x), n_kv, n_q // n_kv, -1)
    k, v = ((x @ params[name]).reshape(len(x), n_kv, -1) for name in ("wk", "wv"))
    p = softmax(np.einsum("tgrd,sgd->grts", q, k) / np.sqrt(q.shape[-1]))
    return np.einsum("grts,sgd->tgrd", p, v).reshape(len(x), -1) @ params["wo"]


def test_numbers_of_query_and_key_heads_have_short_names():
    assert hw.check(with_short_names_of_counts).ok
