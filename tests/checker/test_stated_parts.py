"""Parts that a function says that it has: windows as numbers, functions of indices, softcaps, norms, grids."""

import numpy as np
import pytest

import headwise as hw
from planted.handwritten import softmax


def scaled(q, k):
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def lags(q, k):
    return np.arange(q.shape[-2])[:, None] - np.arange(k.shape[-2])


def hidden_unless(visible, s):
    return softmax(np.where(visible, s, -np.inf))


def with_radius(q, k, v, radius=2):
    """Each token attends to the `radius` tokens on each side of it and to itself."""
    return hidden_unless(np.abs(lags(q, k)) <= radius, scaled(q, k)) @ v


def with_smaller_radius(q, k, v, radius=2):
    """Each token attends to the `radius` tokens on each side of it and to itself."""
    return hidden_unless(np.abs(lags(q, k)) < radius, scaled(q, k)) @ v


def with_bandwidth(q, k, v, bandwidth):
    return hidden_unless(np.abs(lags(q, k)) <= bandwidth, scaled(q, k)) @ v


def with_smaller_bandwidth(q, k, v, bandwidth):
    return hidden_unless(np.abs(lags(q, k)) < bandwidth, scaled(q, k)) @ v


def with_half_of_a_window(q, k, v, window_size):
    return hidden_unless(np.abs(lags(q, k)) <= window_size // 2, scaled(q, k)) @ v


def stating_half_on_each_side(q, k, v, window):
    """Attention to ``window // 2`` tokens on either side, and to itself."""
    return hidden_unless(np.abs(lags(q, k)) <= window, scaled(q, k)) @ v


def looking_back(q, k, v, lookback=4):
    """Causal attention to the last `lookback` tokens, the token itself among them."""
    return hidden_unless((lags(q, k) >= 0) & (lags(q, k) < lookback), scaled(q, k)) @ v


def looking_back_too_far(q, k, v, lookback=4):
    """Causal attention to the last `lookback` tokens, the token itself among them."""
    return hidden_unless((lags(q, k) >= 0) & (lags(q, k) <= lookback), scaled(q, k)) @ v


def with_two_sides(q, k, v, left, right):
    return hidden_unless((lags(q, k) <= left) & (lags(q, k) >= -right), scaled(q, k)) @ v


def with_a_short_side(q, k, v, left, right):
    return hidden_unless((lags(q, k) <= left) & (lags(q, k) > -right), scaled(q, k)) @ v


def with_exchanged_sides(q, k, v, n_left=3, n_right=2):
    """Local attention to n_left tokens before and n_right after."""
    return hidden_unless((lags(q, k) <= n_right) & (lags(q, k) >= -n_left), scaled(q, k)) @ v


def alibi_before_scale(q, k, v):
    """Attention with linear biases."""
    slopes = 2.0 ** (-8 * np.arange(1, q.shape[1] + 1) / q.shape[1])
    s = q @ k.swapaxes(-1, -2) - slopes[:, None, None] * np.abs(lags(q, k))
    return softmax(s / np.sqrt(q.shape[-1])) @ v


def indices(q, k):
    shape = (*q.shape[:3], k.shape[2])
    return np.ogrid[tuple(map(slice, shape))]


def flex(query, key, value, score_mod=None, mask_mod=None):
    """score_mod(score, b, h, q_idx, kv_idx) changes a score, mask_mod(b, h, q_idx, kv_idx) is True where it counts."""
    s = scaled(query, key)
    s = s if score_mod is None else score_mod(s, *indices(query, key))
    return (softmax(s) if mask_mod is None else hidden_unless(mask_mod(*indices(query, key)), s)) @ value


def flex_before_scale(query, key, value, score_mod=None):
    s = query @ key.swapaxes(-1, -2)
    s = s if score_mod is None else score_mod(s, *indices(query, key))
    return softmax(s / np.sqrt(query.shape[-1])) @ value


def flex_with_inverted_mask(query, key, value, mask_mod=None):
    s = scaled(query, key)
    return (softmax(s) if mask_mod is None else hidden_unless(~mask_mod(*indices(query, key)), s)) @ value


def flex_with_exchanged_indices(query, key, value, mask_mod):
    b, h, n, m = indices(query, key)
    return (
        hidden_unless(mask_mod(b, h, m, n) if query.shape == key.shape else mask_mod(b, h, n, m), scaled(query, key))
        @ value
    )


def mask_of_two_indices(q, k, v, mask_fn):
    visible = [[mask_fn(n, m) for m in range(len(k))] for n in range(len(q))]
    return hidden_unless(visible, scaled(q, k)) @ v


def capped(q, k, v):
    """Attention with logits soft-capped at 30."""
    return softmax(30 * np.tanh(scaled(q, k) / 30)) @ v


def capped_without_scale(q, k, v):
    """Attention with logits soft-capped at 30."""
    return softmax(30 * np.tanh(q @ k.swapaxes(-1, -2) / 30)) @ v


def cap_discarded(q, k, v):
    """Attention with logits soft-capped at 30."""
    s = scaled(q, k)
    np.tanh(s / 30) * 30
    return softmax(s) @ v


def cap_not_used(q, k, v, cap=30.0):
    s = scaled(q, k)
    _ = cap * np.tanh(s / cap)
    return softmax(s) @ v


def root_mean_squares(a):
    return a / np.sqrt((a**2).mean(axis=-1, keepdims=True) + 1e-6)


def normalised(q, k, v):
    """Attention with QK-norm."""
    return softmax(scaled(root_mean_squares(q), root_mean_squares(k))) @ v


def norm_discarded(q, k, v):
    """Attention with QK-norm."""
    root_mean_squares(q), root_mean_squares(k)
    return softmax(scaled(q, k)) @ v


def bias_of_queries(q, k, v):
    """Attention with linear biases: keys far away are penalised. (B, H, N, d)"""
    slopes = 2.0 ** -np.arange(1, q.shape[1] + 1)
    return softmax(scaled(q, k) - slopes[:, None, None] * np.arange(q.shape[2])[:, None]) @ v


def turned(a, places):
    angles = places[:, None] * 50.0 ** -np.linspace(0, 1, a.shape[-1] // 2)
    x, y = np.split(a, 2, axis=-1)
    return np.concatenate([x * np.cos(angles) - y * np.sin(angles), y * np.cos(angles) + x * np.sin(angles)], axis=-1)


def in_a_grid(q, k, v, of_line, in_line):
    def both(a):
        return np.concatenate(
            [turned(half, places) for half, places in zip(np.split(a, 2, -1), (of_line, in_line), strict=True)], -1
        )

    return softmax(scaled(both(q), both(k))) @ v


def by_rows(q, k, v, height, width):
    """Rotary attention over the patches of an image in row-major order; (heads, height * width, d)."""
    n = np.arange(height * width)
    return in_a_grid(q, k, v, n // width, n % width)


def by_columns(q, k, v, height, width):
    """Rotary attention over the patches of an image in row-major order; (heads, height * width, d)."""
    n = np.arange(height * width)
    return in_a_grid(q, k, v, n // height, n % height)


def by_columns_undocumented(q, k, v, height, width):
    """Rotary attention over the patches of an image; (heads, tokens, d)."""
    n = np.arange(height * width)
    return in_a_grid(q, k, v, n // height, n % height)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "conventions"),
    [
        (with_radius, {"window-as-number"}),
        (with_bandwidth, {"window-as-number"}),
        (with_half_of_a_window, {"window-as-number"}),
        (looking_back, {"window-as-number", "causal-unasked"}),
        (with_two_sides, set()),
        (flex, set()),
        (mask_of_two_indices, set()),
        (capped, {"softcap-built-in"}),
        (normalised, {"qk-norm"}),
        (by_rows, {"rope"}),
        (by_columns_undocumented, {"rope", "grid-by-columns"}),
    ],
)
def test_what_is_stated_is_passed_or_measured(function, conventions):
    verdict = hw.check(function)
    assert verdict.ok, verdict.report()
    assert set(verdict.conventions) - {"equal-lengths"} == conventions
    parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
    assert not set(verdict.untested) & set(parameters)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (with_smaller_radius, {"window-off-by-one"}),
        (with_smaller_bandwidth, {"window-off-by-one"}),
        (looking_back_too_far, {"window-off-by-one"}),
        (with_a_short_side, {"window-off-by-one"}),
        (stating_half_on_each_side, {"unknown"}),
        (flex_before_scale, {"bias-before-scale"}),
        (flex_with_inverted_mask, {"mask-inverted"}),
        (capped_without_scale, {"scale-missing"}),
        (cap_discarded, {"unknown"}),
        (cap_not_used, {"softcap-ignored"}),
        (norm_discarded, {"unknown"}),
        (bias_of_queries, {"unknown"}),
        (by_columns, {"unknown"}),
    ],
)
def test_what_is_stated_and_without_effect_is_no_part_of_a_right_function(function, mistakes):
    assert set(hw.check(function).mistakes) == mistakes


def test_exchanged_sides_and_indices_are_found():
    assert not hw.check(with_exchanged_sides).ok
    assert not hw.check(alibi_before_scale).ok
    assert not hw.check(flex_with_exchanged_indices).ok


def of_blocks(q, k, v, block_size=4):
    """Block-local attention: tokens attend within their block."""
    n = np.arange(q.shape[-2]) // block_size
    return hidden_unless(n[:, None] == n, scaled(q, k)) @ v


def of_blocks_before(q, k, v, block_size=4):
    """Block-local attention: tokens attend within their block."""
    n = np.arange(q.shape[-2]) // block_size
    return hidden_unless(n[:, None] >= n, scaled(q, k)) @ v


def in_steps(q, k, v, stride=2):
    """Strided attention: n sees the m with (n - m) % stride == 0."""
    return hidden_unless(lags(q, k) % stride == 0, scaled(q, k)) @ v


def in_pairs_of_steps(q, k, v, stride=2):
    """Strided attention: n sees the m with (n - m) % stride == 0."""
    return hidden_unless(lags(q, k) // stride % stride == 0, scaled(q, k)) @ v


def test_a_pattern_is_the_one_that_is_stated():
    assert hw.check(of_blocks).ok
    assert hw.check(in_steps).ok
    assert hw.check(of_blocks_before).mistakes == ("unknown",)
    assert hw.check(in_pairs_of_steps).mistakes == ("unknown",)


def of_index(q, k, v, relative_position_bias_table, relative_position_index):
    bias = relative_position_bias_table[relative_position_index].transpose(2, 0, 1)
    return softmax(scaled(q, k) + bias) @ v


def of_transposed_index(q, k, v, relative_position_bias_table, relative_position_index):
    bias = relative_position_bias_table[relative_position_index.T].transpose(2, 0, 1)
    return softmax(scaled(q, k) + bias) @ v


def test_a_table_of_biases_comes_with_its_index():
    verdict = hw.check(of_index)
    assert verdict.ok, verdict.report()
    assert not verdict.untested
    assert hw.check(of_transposed_index).mistakes == ("bias-transposed",)


def of_sinks_and_a_window(q, k, v, sink=4, window=8):
    """StreamingLLM: the first `sink` tokens and the last `window` tokens, causal."""
    n, m = np.arange(q.shape[-2])[:, None], np.arange(q.shape[-2])
    return hidden_unless((m <= n) & ((m < sink) | (n - m < window)), scaled(q, k)) @ v


def test_a_pattern_may_show_with_many_tokens_only():
    verdict = hw.check(of_sinks_and_a_window)
    assert verdict.ok, verdict.report()
    assert "pattern-built-in" in verdict.conventions


def of_heads_last(x, Wq, Wk, Wv, heads):
    """The features of x are (d h), so that the head is the last axis."""
    q, k, v = (np.moveaxis((x @ W).reshape(*x.shape[:-1], -1, heads), -1, -3) for W in (Wq, Wk, Wv))
    return np.moveaxis(softmax(scaled(q, k)) @ v, -3, -1).reshape(*x.shape[:-1], -1)


def of_heads_last_without_scale(x, Wq, Wk, Wv, heads):
    """The features of x are (d h), so that the head is the last axis."""
    q, k, v = (np.moveaxis((x @ W).reshape(*x.shape[:-1], -1, heads), -1, -3) for W in (Wq, Wk, Wv))
    return np.moveaxis(softmax(q @ k.swapaxes(-1, -2)) @ v, -3, -1).reshape(*x.shape[:-1], -1)


def of_heads_last_undocumented(x, Wq, Wk, Wv, heads):
    q, k, v = (np.moveaxis((x @ W).reshape(*x.shape[:-1], -1, heads), -1, -3) for W in (Wq, Wk, Wv))
    return np.moveaxis(softmax(scaled(q, k)) @ v, -3, -1).reshape(*x.shape[:-1], -1)


def test_the_order_of_features_that_is_stated_is_a_convention():
    verdict = hw.check(of_heads_last)
    assert verdict.ok, verdict.report()
    assert "heads-last" in verdict.conventions
    assert hw.check(of_heads_last_without_scale).mistakes == ("scale-missing",)
    assert hw.check(of_heads_last_undocumented).mistakes == ("heads-interleaved",)


def of_buckets(q, k, v, relative_attention_bias, num_buckets=32):
    """T5 attention, without a scale; relative_attention_bias (num_buckets, H)"""
    later = (lags(q, k) < 0) * (num_buckets // 2)
    buckets = later + np.minimum(np.abs(lags(q, k)), num_buckets // 2 - 1)
    return softmax(q @ k.swapaxes(-1, -2) + relative_attention_bias[buckets].transpose(2, 0, 1)) @ v


def of_clipped_distances(q, k, v, table, max_distance=4):
    """table (2 * max_distance + 1, H)"""
    places = np.clip(-lags(q, k), -max_distance, max_distance) + max_distance
    return softmax(scaled(q, k) + table[places].transpose(2, 0, 1)) @ v


def of_clipped_distances_before_scale(q, k, v, table, max_distance=4):
    """table (2 * max_distance + 1, H)"""
    places = np.clip(-lags(q, k), -max_distance, max_distance) + max_distance
    return softmax(q @ k.swapaxes(-1, -2) + table[places].transpose(2, 0, 1)) @ v


def of_clipped_places(q, k, v, table, max_distance=4):
    """table (2 * max_distance + 1, H)"""
    places = np.clip(np.arange(k.shape[2]) + 0 * lags(q, k), 0, max_distance)
    return softmax(scaled(q, k) + table[places].transpose(2, 0, 1)) @ v


@pytest.mark.exhaustive
def test_a_table_may_have_an_entry_for_each_bucket_of_distances():
    for function in (of_buckets, of_clipped_distances):
        verdict = hw.check(function)
        assert verdict.ok, verdict.report()
        assert {"bias-table", "position-bias"} <= {*verdict.conventions}
        assert any("which entry" in what for what in verdict.untested)
    assert hw.check(of_clipped_distances_before_scale).mistakes == ("scale-missing",)
    assert hw.check(of_clipped_places).mistakes == ("unknown",)
