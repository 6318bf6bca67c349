"""Options that a function takes in one form only, and arguments that it needs for what is no part of attention."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.arguments.roles import role_of
from headwise.checker.detection.refusal import UncallableError
from headwise.checker.diff import diff
from planted.handwritten import softmax


def scaled(q, k):
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def of_three_axes(q, k, v, attn_bias=None):
    logits = scaled(q, k)
    if attn_bias is not None:
        batch, n, m = attn_bias.shape
        logits = logits + attn_bias.reshape(batch, n, m)
    return softmax(logits) @ v


def subtracted_with_three_axes(q, k, v, attn_bias=None):
    logits = scaled(q, k)
    if attn_bias is not None:
        batch, n, m = attn_bias.shape
        logits = logits - attn_bias.reshape(batch, n, m)
    return softmax(logits) @ v


def in_no_known_form(q, k, v, attn_bias=None):
    logits = scaled(q, k)
    if attn_bias is not None:
        logits = logits - attn_bias["left"] - attn_bias["right"]
    return softmax(logits) @ v


def not_implemented(q, k, v, mask=None):
    if mask is not None:
        raise NotImplementedError("no mask yet")
    return softmax(scaled(q, k)) @ v


def of_whole_scores(q, k, v, score_mod=None):
    """q, k, v: (B, H, N, d)"""
    scores = scaled(q, k)
    return softmax(scores if score_mod is None else score_mod(scores)) @ v


def of_the_first_head(q, k, v, score_mod=None):
    """q, k, v: (B, H, N, d)"""
    scores = scaled(q, k)
    if score_mod is not None:
        scores = scores + (score_mod(scores) - scores)[:, :1]
    return softmax(scores) @ v


def with_needed_settings(q, k, v, out_dtype, dropout_rng, droprate, enable_gqa, deterministic):
    assert deterministic or droprate == 0 or dropout_rng is not None
    return (softmax(scaled(q, k)) @ v).astype(out_dtype)


def with_bracketed_layouts(query, key, value):
    """Attention of `[batch..., q_length, num_heads, qk_depth_per_head]` with `[batch..., kv_length, num_heads, d]`."""
    return np.moveaxis(
        softmax(scaled(*(np.moveaxis(a, -2, -3) for a in (query, key)))) @ np.moveaxis(value, -2, -3), -3, -2
    )


def test_a_bias_is_tried_with_other_numbers_of_axes():
    right, wrong = hw.check(of_three_axes), hw.check(subtracted_with_three_axes)
    assert right.ok
    assert "bias" in {probe.name for probe in right.probes if probe.agrees}
    assert not wrong.ok


def test_a_function_that_refuses_every_form_of_its_bias_is_not_right():
    with pytest.raises(UncallableError, match="right without `attn_bias`"):
        hw.check(in_no_known_form)


def test_a_function_may_say_that_it_has_no_mask():
    verdict = hw.check(not_implemented)
    assert verdict.ok
    assert any("NotImplementedError" in one for one in verdict.untested)


def with_sums_of_its_weights(q, k, v):
    """q, k, v: (N, H, d); next to its output, it returns (H, N)"""
    logits = scaled(np.moveaxis(q, 0, 1), np.moveaxis(k, 0, 1))
    return np.moveaxis(softmax(logits) @ np.moveaxis(v, 0, 1), 0, 1), np.log(np.exp(logits).sum(axis=-1))


def of_a_root_of_the_scale(q, k, v, scale=None):
    root = q.shape[-1] ** -0.25 if scale is None else np.sqrt(scale)
    return softmax((root * q) @ (root * k).swapaxes(-1, -2)) @ v


def test_what_has_the_shape_of_weights_in_one_size_only_is_none():
    assert hw.check(with_sums_of_its_weights).ok


def test_a_root_of_the_scale_is_right_for_scales_that_have_one():
    verdict = hw.check(of_a_root_of_the_scale)
    assert verdict.ok
    assert any("a negative scale" in one for one in verdict.untested)


def test_a_function_of_scores_may_get_all_of_them():
    assert hw.check(of_whole_scores).ok
    assert hw.check(of_the_first_head).mistakes == ("bias-not-broadcast",)


def test_needed_types_keys_of_dropout_and_flags_of_torch_are_passed():
    assert hw.check(with_needed_settings).ok


def test_layouts_in_brackets_with_long_names_are_read():
    verdict = hw.check(with_bracketed_layouts)
    assert verdict.ok
    assert verdict.conventions == ("tokens-before-heads",)


@pytest.mark.parametrize("name", ["query_padding_mask", "dropout_mask", "q_padding_mask"])
def test_masks_of_queries_and_of_dropout_hide_no_keys(name):
    assert role_of(name) not in ("mask", "padding")


def tokens_first(q, k, v, of_type=np.float64):
    logits = np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(q.shape[-1])
    return np.einsum("bhnm,bmhd->bnhd", softmax(logits.astype(of_type)), v)


def tokens_first_in_float32(q, k, v):
    return tokens_first(q, k, v, np.float32)


def tokens_first_without_scale(q, k, v):
    logits = np.einsum("bnhd,bmhd->bhnm", q, k)
    return np.einsum("bhnm,bmhd->bnhd", softmax(logits.astype(np.float32)), v)


def test_differences_of_the_narrower_type_are_that_hazard_alone():
    same = diff(tokens_first, tokens_first_in_float32)
    assert same.same
    assert same.added == ("dtype-lowered",)
    other = diff(tokens_first, tokens_first_without_scale)
    assert not other.same
    assert "scale-missing" in other.added


def with_first_token(x, Wq, Wk, Wv, cls=None):
    if cls is not None:
        x = np.concatenate([cls, x])
    return softmax((x @ Wq) @ (x @ Wk).T / np.sqrt(Wq.shape[1])) @ (x @ Wv)


def with_memory(x, Wq, Wk, Wv, tape=None):
    q = x @ Wq
    if tape is not None:
        x = np.concatenate([tape["old"], x])
    return softmax(q @ (x @ Wk).T / np.sqrt(Wq.shape[1])) @ (x @ Wv)


def test_a_token_that_is_joined_with_the_others_is_no_earlier_key():
    verdict = hw.check(with_first_token)
    assert verdict.ok
    assert "cls" in verdict.untested
    with pytest.raises(UncallableError, match="tape"):
        hw.check(with_memory)


def of_items_like_the_query(query, keys, lengths):
    """query (batch, d), keys (batch, m, d), lengths (batch,)"""
    logits = (keys @ query[:, :, None])[..., 0] / np.sqrt(query.shape[-1])
    weights = softmax(np.where(np.arange(keys.shape[1]) < lengths[:, None], logits, -np.inf))
    return (weights[:, None] @ keys)[:, 0]


def with_hidden_logits_of_zero(query, keys, lengths):
    """query (batch, d), keys (batch, m, d), lengths (batch,)"""
    logits = (keys @ query[:, :, None])[..., 0] / np.sqrt(query.shape[-1])
    weights = softmax(np.where(np.arange(keys.shape[1]) < lengths[:, None], logits, 0))
    return (weights[:, None] @ keys)[:, 0]


def test_keys_may_be_the_values_too():
    assert hw.check(of_items_like_the_query).ok
    assert hw.check(with_hidden_logits_of_zero).mistakes == ("mask-fill-too-small",)


def of_layers_in_a_dictionary(params, src, dst):
    """src (b, m, d), dst (b, n, d)"""
    q_layer, k_layer, v_layer = params["q_proj"], params["k_proj"], params["v_proj"]
    q = np.einsum("bnd,dk->bnk", dst, q_layer["kernel"])
    k = np.einsum("bmd,dk->bmk", src, k_layer["kernel"])
    v = np.einsum("bmd,dk->bmk", src, v_layer["kernel"])
    return softmax(scaled(q, k)) @ v @ params["ff"]["kernel"] + params["ff"]["bias"]


def of_layers_without_scale(params, src, dst):
    """src (b, m, d), dst (b, n, d)"""
    q = np.einsum("bnd,dk->bnk", dst, params["q_proj"]["kernel"])
    k = np.einsum("bmd,dk->bmk", src, params["k_proj"]["kernel"])
    v = np.einsum("bmd,dk->bmk", src, params["v_proj"]["kernel"])
    return softmax(q @ np.swapaxes(k, -1, -2)) @ v


def test_what_is_multiplied_with_the_layer_of_the_queries_gives_them():
    assert hw.check(of_layers_without_scale).mistakes == ("scale-missing",)
    assert hw.check(of_layers_in_a_dictionary).ok
