"""Numbers of items and key heads, widths of values, flags and fill values: what else functions of q, k and v take."""

import numpy as np
import pytest

import headwise as hw


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attend(q, k, v):
    return softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])) @ v


def of_repeats(q, k, v, n_rep=1):
    return attend(q, np.repeat(k, n_rep, axis=1), np.repeat(v, n_rep, axis=1))


def of_key_heads(q, k, v, num_kv_heads=1):
    times = q.shape[1] // num_kv_heads
    assert k.shape[1] == num_kv_heads
    return attend(q, np.repeat(k, times, axis=1), np.repeat(v, times, axis=1))


def tiled(q, k, v, groups=1):
    return attend(q, np.tile(k, (1, groups, 1, 1)), np.tile(v, (1, groups, 1, 1)))


def packed(q, k, v, cu_seqlens, max_seqlen, batch_size):
    out = np.zeros_like(q)
    for item in range(batch_size):
        rows = slice(cu_seqlens[item], cu_seqlens[item + 1])
        out[rows] = np.swapaxes(attend(*(np.swapaxes(a[rows], 0, 1) for a in (q, k, v))), 0, 1)
    return out


def flagged(q, k, v, dropout, use_scale, fill_value, mask=None):
    s = q @ np.swapaxes(k, -1, -2) / (np.sqrt(q.shape[-1]) if use_scale else 1)
    return dropout(softmax(s if mask is None else np.where(mask, s, fill_value))) @ v


@pytest.mark.parametrize(
    ("function", "mistakes"),
    [(of_repeats, ()), (of_key_heads, ()), (tiled, ("groups-tiled",)), (packed, ()), (flagged, ())],
)
def test_counts_flags_and_fill_values_are_passed(function, mistakes):
    verdict = hw.check(function)
    assert verdict.mistakes == mistakes
    assert not {"n_rep", "num_kv_heads", "groups"} & {*verdict.untested}


def by_width_of_values(q, k, v, mask=None):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(v.shape[-1])
    return softmax(s if mask is None else np.where(mask, s, -np.inf)) @ v


def causal(q, k, v, offset):
    n, m = q.shape[-2], k.shape[-2]
    visible = np.arange(m) <= np.arange(n)[:, None] + offset
    s = np.where(visible, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]), -np.inf)
    p = softmax(np.where(visible.any(axis=-1, keepdims=True), s, 0)) * visible.any(axis=-1, keepdims=True)
    return (p @ v).reshape(q.shape)  # which refuses values of another width


def lined_up(q, k, v):
    return causal(q, k, v, k.shape[-2] - q.shape[-2])


def lined_up_the_wrong_way(q, k, v):
    return causal(q, k, v, q.shape[-2] - k.shape[-2])


def test_values_may_have_to_be_as_wide_as_keys():
    assert "equal-value-widths" in hw.check(by_width_of_values).conventions
    verdict = hw.check(lined_up)
    assert {"equal-value-widths", "causal-aligned-end"} <= {*verdict.conventions}
    assert not any("keys than of queries" in words for words in verdict.untested)
    assert hw.check(lined_up_the_wrong_way).mistakes == ("causal-alignment",)


def split(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def values_unmoved(x, w_q, w_k, w_v, w_o, num_heads):
    q, k, v = x @ w_q, x @ w_k, x @ w_v
    o = attend(split(q, num_heads), split(k, num_heads), v.reshape(len(v), num_heads, v.shape[1], -1))
    return o.transpose(0, 2, 1, 3).reshape(len(o), o.shape[2], -1) @ w_o


def test_values_alone_may_be_split_without_moving_the_axis():
    assert hw.check(values_unmoved).mistakes == ("heads-split-unmoved",)


def in_lists(queries, keys, values):
    outputs, weights = [], []
    for n, query in enumerate(queries):
        row = softmax(np.array([np.dot(query, key) for key in keys[: n + 1]]) / np.sqrt(len(query))).tolist()
        weights.append(row)  # of another length each
        outputs.append(
            [sum(p * value[i] for p, value in zip(row, values, strict=False)) for i in range(len(values[0]))]
        )
    return outputs, weights


def test_weights_in_rows_of_other_lengths_are_left_alone():
    assert hw.check(in_lists).ok


head_width = 16 // 2


def of_a_variable(queries, keys, values):
    return softmax(queries @ np.swapaxes(keys, -1, -2) / np.sqrt(head_width)) @ values


def test_the_width_of_a_head_may_be_a_variable():
    assert hw.check(of_a_variable).ok


def windowed(q, k, v, window, step):
    n, m = q.shape[-2], k.shape[-2]
    if n == 1 < m:
        start = max(0, m - window - step)
        return attend(q, k[..., start:, :], v[..., start:, :])
    rows, columns = np.arange(n)[:, None] + m - n, np.arange(m)
    visible = (columns <= rows) & (rows - columns <= window)
    return softmax(np.where(visible, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]), -np.inf)) @ v


def with_window(q, k, v, window):
    """Causal attention to itself and `window` keys before."""
    return windowed(q, k, v, window, step=1)


def with_a_key_less_for_one_query(q, k, v, window):
    """Causal attention to itself and `window` keys before."""
    return windowed(q, k, v, window, step=0)


@pytest.mark.exhaustive  # all searches of a function that nothing explains
def test_fewer_queries_than_keys_are_tried_with_a_window_that_has_to_be_passed():
    verdict = hw.check(with_window)
    assert verdict.ok
    assert "causal-aligned-end" in verdict.conventions
    assert hw.check(with_a_key_less_for_one_query).mistakes


def of_sizes(x, w_q, w_k, w_v, w_o, B, T, C, n_heads):
    q, k, v = ((x @ w).reshape(B, T, n_heads, C // n_heads).transpose(0, 2, 1, 3) for w in (w_q, w_k, w_v))
    return attend(q, k, v).transpose(0, 2, 1, 3).reshape(B, T, C) @ w_o


def of_sizes_without_heads_moved(x, w_q, w_k, w_v, w_o, B, T, C, n_heads):
    q, k, v = ((x @ w).reshape(B, T, n_heads, C // n_heads).transpose(0, 2, 1, 3) for w in (w_q, w_k, w_v))
    return attend(q, k, v).reshape(B, T, C) @ w_o


def of_numbers_of_tokens(states, memory, w_q, w_k, w_v, nq, nkv):
    assert states.shape[-2] == nq
    assert memory.shape[-2] == nkv
    return attend(states @ w_q, memory @ w_k, memory @ w_v)


def causal_up_to(q, k, v, context_length):
    hidden = np.triu(np.ones((context_length, context_length), bool), 1)[: q.shape[-2], : k.shape[-2]]
    return softmax(np.where(hidden, -np.inf, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]))) @ v


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (of_sizes, ()),
        (of_sizes_without_heads_moved, ("heads-merged-unmoved",)),
        (of_numbers_of_tokens, ()),
        (causal_up_to, ()),
    ],
)
def test_sizes_that_the_shapes_say_too_are_passed(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def test_a_letter_that_is_added_is_no_size():
    def added(x, w_q, w_k, w_v, w_o, n_heads, B):
        return of_sizes(x, w_q, w_k, w_v, w_o, *x.shape, n_heads) + B

    with pytest.raises(hw.HeadwiseError, match="unknown argument `B`"):
        hw.check(added)


@pytest.mark.parametrize("scaled_by_tokens", [True, False])
def test_a_scale_by_the_width_of_tokens_is_right_for_square_matrices_and_that_is_said(scaled_by_tokens):
    def attention(X, Wq, Wk, Wv):
        q, k, v = X @ Wq, X @ Wk, X @ Wv
        s = q @ k.T / np.sqrt((X if scaled_by_tokens else q).shape[-1])
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) @ v

    verdict = hw.check(attention)
    assert verdict.mistakes == ("scale-model-width",) * scaled_by_tokens
    assert any("square" in note for note in verdict.notes) == scaled_by_tokens
