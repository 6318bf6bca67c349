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


@pytest.mark.sampled
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
        pytest.param(padding_as_numbers, ("mask-added-as-number",), marks=pytest.mark.whole_search),
    ],
)
def test_arguments_are_read(function, mistakes):
    verdict = hw.check(function)
    assert verdict.mistakes == mistakes
    assert verdict.untested == ()


def rms(a, gain):
    return a / np.sqrt((a**2).mean(axis=-1, keepdims=True) + 1e-6) * gain


def of_gains(x, wq, wk, wv, q_norm_weight, k_norm_weight, n_head):
    """x (N, D)"""
    q, k, v = ((x @ w).reshape(len(x), n_head, -1).swapaxes(0, 1) for w in (wq, wk, wv))
    q, k = rms(q, q_norm_weight), rms(k, k_norm_weight)
    return (softmax(scaled(q, k)) @ v).swapaxes(0, 1).reshape(x.shape)


def test_gains_of_norms_are_ones():
    verdict = hw.check(of_gains)
    assert verdict.ok
    assert "qk-norm" in verdict.conventions
    assert verdict.untested[0] == "q_norm_weight (ones in this check)"


def of_sinks(Q, K, V, S, sm_scale):
    """S: the logit of a sink for each head; Q, K, V (B, H, N, d)"""
    logits = Q @ np.swapaxes(K, -1, -2) * sm_scale
    logits = np.concatenate([logits, np.broadcast_to(S[:, None, None], (*logits.shape[:-1], 1))], axis=-1)
    return softmax(logits)[..., :-1] @ V


def of_source_lengths(decoder_state, encoder_states, src_lengths):
    """decoder_state (B, D), encoder_states (B, M, D); scores are not scaled"""
    logits = (encoder_states * decoder_state[:, None]).sum(axis=-1)
    logits[np.arange(logits.shape[1]) >= src_lengths[:, None]] = -np.inf
    return (softmax(logits)[..., None] * encoder_states).sum(axis=1)


def in_one_bias(x, qkv_weight, num_heads, qkv_bias=None, proj_bias=None):
    """x (B, N, D), qkv_weight (3 D, D)"""
    q, k, v = (
        a.reshape(*x.shape[:2], num_heads, -1).swapaxes(1, 2)
        for a in np.split(x @ qkv_weight.T + (0 if qkv_bias is None else qkv_bias), 3, axis=-1)
    )
    output = (softmax(scaled(q, k)) @ v).swapaxes(1, 2).reshape(x.shape)
    return output if proj_bias is None else output + proj_bias


def rotated(a):
    """(..., N, d), also with an odd width, for which rotations mean nothing"""
    half = a.shape[-1] // 2
    turns = np.arange(a.shape[-2])[:, None] * 1e4 ** (-np.arange(0, a.shape[-1], 2) / a.shape[-1])
    first, second = a[..., :half], a[..., half:]
    return np.concatenate(
        [first * np.cos(turns) - second * np.sin(turns), second * np.cos(turns) + first * np.sin(turns)], axis=-1
    )


def of_rotations(x, Wq, Wk, Wv):
    return softmax(scaled(rotated(x @ Wq), rotated(x @ Wk))) @ (x @ Wv)


def of_rotated_heads(x, Wq, Wk, Wv, heads):
    q, k, v = ((x @ W).reshape(*x.shape[:-1], heads, -1).swapaxes(-2, -3) for W in (Wq, Wk, Wv))
    return (softmax(scaled(rotated(q), rotated(k))) @ v).swapaxes(-2, -3).reshape(*x.shape[:-1], -1)


@pytest.mark.sampled
@pytest.mark.parametrize(
    "function", [of_sinks, of_source_lengths, in_one_bias, of_rotations, of_rotated_heads], ids=lambda f: f.__name__
)
def test_arguments_and_widths_of_public_code_are_taken(function):
    verdict = hw.check(function)
    assert verdict.ok, verdict.report()


def test_the_number_that_rows_without_keys_get_is_reported():
    def seven(q, k, v, mask):
        """mask: True = visible"""
        output = softmax(np.where(mask, scaled(q, k), -1e30)) @ v
        return np.where(np.broadcast_to(mask, scaled(q, k).shape).any(axis=-1, keepdims=True), output, 7.0)

    verdict = hw.check(seven)
    assert "mask-finite-fill" in verdict.hazards
    assert "It returns 7 for queries that may attend to nothing." in verdict.notes


def of_items_and_tokens(x, Wq, Wk, Wv):
    """x: (batch, tokens, features)"""
    T, B, D = x.shape
    q, k, v = ((x @ W).reshape(T, B, D).swapaxes(0, 1) for W in (Wq, Wk, Wv))
    return (softmax(scaled(q, k)) @ v).swapaxes(0, 1)


def test_the_docstring_counts_more_than_the_names_of_sizes():
    assert hw.check(of_items_and_tokens).mistakes == ("batch-mixed",)


def of_heads_masks(q, k, v, mask=None):
    """q, k, v (B, H, N, d); mask (N, M), (B, N, M) or (B, H, N, M), True = visible"""
    if mask is not None:
        mask = mask[:, :1] if mask.ndim == 4 else mask[:, None] if mask.ndim == 3 else mask
    return softmax(scaled(q, k) if mask is None else np.where(mask, scaled(q, k), -np.inf)) @ v


def test_every_shape_of_a_mask_that_is_stated_is_tried():
    assert hw.check(of_heads_masks).mistakes == ("mask-not-broadcast",)


@pytest.mark.parametrize(
    ("scale", "mistakes"), [(lambda q: q.shape[-1] ** -0.5, ()), (lambda q: 1.0, ("scale-missing",))]
)
@pytest.mark.parametrize("part", ["logits", "weights"])
def test_half_precision_inside_is_a_hazard(scale, mistakes, part):
    def attention(q, k, v):
        logits = q @ np.swapaxes(k, -1, -2) * scale(q)
        weights = softmax(logits.astype(np.float16).astype(float) if part == "logits" else logits)
        return (weights.astype(np.float16).astype(float) if part == "weights" else weights) @ v

    verdict = hw.check(attention)
    assert (verdict.mistakes, verdict.hazards) == (mistakes, ("dtype-lowered",))
    assert "Its logits or its weights are in half precision." in verdict.notes
