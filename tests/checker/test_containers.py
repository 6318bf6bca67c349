"""Matrices in dictionaries, tuples and lists with an entry for each head, and stacked with an axis of heads."""

from dataclasses import dataclass

import numpy as np
import pytest

import headwise as hw


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attend(q, k, v):
    return softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])) @ v


def of_tokens(x, Wq, Wk, Wv):
    return attend(x @ Wq, x @ Wk, x @ Wv)


def tuples_by_head(X, heads, Wo):
    outputs = []
    for Wq, Wk, Wv in heads:
        outputs.append(attend(X @ Wq, X @ Wk, X @ Wv))
    return np.concatenate(outputs, axis=-1) @ Wo


def tuples_in_another_order(X, heads, Wo):
    return np.concatenate([attend(X @ Wq, X @ Wk, X @ Wv) for Wv, Wk, Wq in heads], axis=-1) @ Wo


def tuples_passed_on(x, per_head, w_o):
    return np.concatenate([of_tokens(x, *head) for head in per_head], axis=-1) @ w_o


def tuples_with_output(X, heads):
    return sum(attend(X @ Wq, X @ Wk, X @ Wv) @ Wo for Wq, Wk, Wv, Wo in heads)


def dictionaries_by_head(x, head_params, Wo):
    outputs = [attend(x @ p["q"], x @ p["k"], x @ p["v"]) for _, p in enumerate(head_params)]
    return np.concatenate(outputs, axis=-1) @ Wo


def indexed_by_head(x, layers, Wo):
    outputs = []
    for i in range(len(layers)):
        Wq, Wk, Wv = layers[i][0], layers[i][1], layers[i][2]
        outputs.append(attend(x @ Wq, x @ Wk, x @ Wv))
    return np.concatenate(outputs, axis=-1) @ Wo


def heads_in_dictionary(x, params):
    heads = [attend(x @ head["wq"], x @ head["wk"], x @ head["wv"]) for head in params["heads"]]
    return np.concatenate(heads, axis=-1) @ params["wo"]


def fused_in_nested_dictionary(x, params, n_head):
    qkv = x @ params["c_attn"]["w"] + params["c_attn"]["b"]
    q, k, v = (np.split(part, n_head, axis=-1) for part in np.split(qkv, 3, axis=-1))
    heads = [attend(*head) for head in zip(q, k, v, strict=True)]
    return np.concatenate(heads, axis=-1) @ params["c_proj"]["w"] + params["c_proj"]["b"]


def layers_in_nested_dictionary(x, params):
    p = params["attn"]
    q = x @ p["query"]["kernel"] + p["query"]["bias"]
    k = x @ p["key"]["kernel"] + p["key"]["bias"]
    v = x @ p["value"]["kernel"] + p["value"]["bias"]
    return attend(q, k, v) @ p["out"]["kernel"] + p["out"]["bias"]


def unpacked(x, params):
    Wq, Wk, Wv, Wo = params
    return of_tokens(x, Wq, Wk, Wv) @ Wo


def lists_with_output(X, Wqs, Wks, Wvs, Wos):
    return sum(of_tokens(X, q, k, v) @ o for q, k, v, o in zip(Wqs, Wks, Wvs, Wos, strict=True))


def stacks_in_out(x, w_q, w_k, w_v, w_o):
    q, k, v = (np.einsum("nd,hdk->hnk", x, w) for w in (w_q, w_k, w_v))
    return np.einsum("hnk,hkd->nd", attend(q, k, v), w_o)


def stacks_out_in(x, w_q, w_k, w_v, w_o):
    q, k, v = (np.einsum("bnd,hkd->bhnk", x, w) for w in (w_q, w_k, w_v))
    return np.einsum("bhnk,hkd->bnd", attend(q, k, v), w_o)


def stacks_with_heads_second(x, w_q, w_k, w_v, w_o):
    q, k, v = (np.einsum("nd,dhk->hnk", x, w) for w in (w_q, w_k, w_v))
    return attend(q, k, v).swapaxes(0, 1).reshape(len(x), -1) @ w_o


@pytest.mark.sampled
@pytest.mark.parametrize(
    "function",
    [
        tuples_by_head,
        tuples_in_another_order,
        tuples_passed_on,
        tuples_with_output,
        dictionaries_by_head,
        indexed_by_head,
        heads_in_dictionary,
        lists_with_output,
        stacks_in_out,
        stacks_out_in,
        stacks_with_heads_second,
    ],
)
def test_matrices_of_each_head(function):
    verdict = hw.check(function)
    assert verdict.ok
    assert verdict.mistakes == ()
    assert "heads-stacked" in verdict.conventions


def projected_one_by_one(x, mats):
    q, k, v = (x @ w for w in mats)
    return attend(q, k, v)


def first_three_and_output(x, weights, heads):
    n, width = x.shape
    q, k, v = [(x @ w.T).reshape(n, heads, -1).transpose(1, 0, 2) for w in weights[:3]]
    return attend(q, k, v).transpose(1, 0, 2).reshape(n, width) @ weights[3].T


def weights_and_biases(x, weights, biases):
    q, k, v = (x @ weights[part] + biases[part] for part in "qkv")
    return attend(q, k, v) @ weights["o"] + biases["o"]


def biases_under_names_of_their_own(x, params, b):
    q, k, v = (x @ params[f"W{part}"] + b[f"b{part}"] for part in "qkv")
    return attend(q, k, v)


def lists_of_weights_and_biases(x, weights, biases):
    q, k, v = (x @ w + b for w, b in zip(weights, biases, strict=True))
    return attend(q, k, v)


def bias_of_the_output_last(x, W):
    return attend(x @ W[0], x @ W[1], x @ W[2]) @ W[3] + W[4]


def bias_of_the_output_under_one_letter(x, params):
    return attend(x @ params["Wq"], x @ params["Wk"], x @ params["Wv"]) @ params["Wo"] + params["b"]


def numbered_in_dictionary(x, params):
    q, k, v = (x @ params["W"][0] + params["b"][0], x @ params["W"][1] + params["b"][1], x @ params["W"][2])
    return attend(q, k, v + params["b"][2]) @ params["W"][3] + params["b"][3]


def bias_in_the_wrong_place(x, params):
    q, k, v = (x @ params["W"][0] + params["b"][1], x @ params["W"][1] + params["b"][1], x @ params["W"][2])
    return attend(q, k, v + params["b"][2]) @ params["W"][3] + params["b"][3]


@pytest.mark.parametrize(
    "function",
    [
        bias_of_the_output_last,
        bias_of_the_output_under_one_letter,
        numbered_in_dictionary,
        weights_and_biases,
        biases_under_names_of_their_own,
        lists_of_weights_and_biases,
        fused_in_nested_dictionary,
        layers_in_nested_dictionary,
        unpacked,
        projected_one_by_one,
        first_three_and_output,
    ],
)
def test_matrices_in_containers(function):
    verdict = hw.check(function)
    assert verdict.ok
    assert verdict.mistakes == ()


def unscaled_tuples(X, heads, Wo):
    return np.concatenate([softmax(X @ Wq @ (X @ Wk).T) @ (X @ Wv) for Wq, Wk, Wv in heads], axis=-1) @ Wo


def values_and_keys_exchanged(x, params):
    p = params["attn"]
    return of_tokens(x, p["query"]["w"], p["value"]["w"], p["key"]["w"])


def bias_of_values_left_out(x, weights, biases):
    return attend(x @ weights["q"] + biases["q"], x @ weights["k"] + biases["k"], x @ weights["v"])


def softmax_over_queries(x, w_q, w_k, w_v, w_o):
    q, k, v = (np.einsum("nd,hdk->hnk", x, w) for w in (w_q, w_k, w_v))
    s = np.einsum("hnk,hmk->hmn", q, k) / np.sqrt(q.shape[-1])
    return np.einsum("hmn,hmk,hkd->nd", softmax(s), v, w_o)


@pytest.mark.parametrize(
    ("function", "mistake"),
    [
        (unscaled_tuples, "scale-missing"),
        (values_and_keys_exchanged, "kv-swapped"),
        (softmax_over_queries, "softmax-axis"),
        (bias_of_values_left_out, "bias-missing"),
    ],
)
def test_mistakes_with_matrices_in_containers(function, mistake):
    assert hw.check(function).mistakes == (mistake,)


def test_a_bias_in_the_wrong_place_is_not_right():
    assert not hw.check(bias_in_the_wrong_place).ok


@dataclass
class Matrices:
    Wq: np.ndarray
    Wk: np.ndarray
    Wv: np.ndarray
    Wo: np.ndarray


def without_the_output_matrix(x, matrices: Matrices):
    q, k, v = x @ matrices.Wq, x @ matrices.Wk, x @ matrices.Wv
    s = q @ k.T / np.sqrt(k.shape[1])
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True) @ v


def test_a_field_that_a_function_does_not_use_is_there():
    assert hw.check(without_the_output_matrix).mistakes == ("output-projection-missing",)


def keys_from_the_queries_matrix(x, params):
    q, k, v = x @ params["attn.q_proj.weight"], x @ params["attn.q_proj.weight"], x @ params["attn.v_proj.weight"]
    return attend(q, k, v)


def queries_from_the_keys_matrix(x, params):
    q, k = (x @ params["key"]["kernel"] + params["key"]["bias"] for _ in range(2))
    return attend(q, k, x @ params["value"]["kernel"] + params["value"]["bias"])


def values_left_out(x, params):
    return attend(x @ params["Wq"], x @ params["Wk"], x)


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (keys_from_the_queries_matrix, ("weights-reused",)),
        (queries_from_the_keys_matrix, ("weights-reused",)),
        (values_left_out, ("values-are-inputs",)),
    ],
)
def test_a_matrix_that_is_never_looked_up_is_passed_next_to_the_others(function, mistakes):
    assert hw.check(function).mistakes == mistakes
