"""Stated positions that do not show, partial results that are merged wrongly, and biases next to each matrix."""

import numpy as np
import pytest

import headwise as hw
from planted.correct import softmax


def rope(x, axis=-2):
    angles = np.arange(x.shape[axis])[:, None] * 1e4 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = angles if axis == -2 else angles[:, None]
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], axis=-1)


def attend(q, k, v, mask=None):
    s = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
    s = s if mask is None else np.where(mask, s, -np.inf)
    return np.einsum("bhts,bshd->bthd", softmax(s), v)


def rotary_over_heads(q, k, v, mask=None):
    """Rotary attention of q, k, v (batch, time, heads, head_dim)."""
    return attend(rope(q), rope(k), v, mask)


def rotary_over_tokens(q, k, v):
    """Rotary attention of q, k, v (batch, time, heads, head_dim)."""
    return attend(rope(q, axis=-3), rope(k, axis=-3), v)


def rotary_not_used(q, k, v, use_rope=False):
    """Rotary attention of q, k, v (batch, time, heads, head_dim)."""
    return attend(rope(q, axis=-3), rope(k, axis=-3), v) if use_rope else attend(q, k, v)


def alibi_too_late(q, k, v):
    n, s = np.arange(q.shape[-2]), q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    p = softmax(s)
    s -= abs(n[:, None] - n)
    return p @ v


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (rotary_over_heads, ("rope-axis",)),
        (rotary_over_tokens, ()),
        (rotary_not_used, ()),
        (alibi_too_late, ("unknown",)),
    ],
)
def test_stated_positions_have_to_show(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def sum_not_rescaled(q, k, v, block=8):
    """q (N, d), k (M, d), v (M, e)"""
    top, outputs, total = -np.inf, 0.0, 0.0
    for start in range(0, len(k), block):
        s = q @ k[start : start + block].T / np.sqrt(q.shape[-1])
        now = np.maximum(top, s.max(axis=-1, keepdims=True))
        e = np.exp(s - now)
        outputs = outputs * np.exp(top - now) + e @ v[start : start + block]
        top, total = now, total + e.sum(axis=-1, keepdims=True)
    return outputs / total


def merged_by_maxima(q, k, v):
    """q (N, d), k (M, d), v (M, e)"""
    if len(k) == 1:
        return np.repeat(v, len(q), axis=0)
    halves = [slice(0, len(k) // 2), slice(len(k) // 2, None)]
    logits = [q @ k[half].T / np.sqrt(q.shape[-1]) for half in halves]
    tops = [np.exp(s.max(axis=-1, keepdims=True)) for s in logits]
    parts = [softmax(s) @ v[half] for s, half in zip(logits, halves, strict=True)]
    return (tops[0] * parts[0] + tops[1] * parts[1]) / (tops[0] + tops[1])


@pytest.mark.parametrize("function", [sum_not_rescaled, merged_by_maxima])
def test_parts_that_are_merged_wrongly_are_named(function):
    assert "online-not-rescaled" in hw.check(function).mistakes


def test_biases_may_come_next_to_each_matrix_and_a_number_of_heads():
    def of_named_parts(hidden_states, query_weight, query_bias, key_weight, key_bias, value_weight, value_bias, heads):
        parts = (query_weight, query_bias), (key_weight, key_bias), (value_weight, value_bias)
        q, k, v = (
            (hidden_states @ weight.T + bias).reshape(*hidden_states.shape[:-1], heads, -1).swapaxes(-2, -3)
            for weight, bias in parts
        )
        o = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v
        return o.swapaxes(-2, -3).reshape(*o.shape[:-3], o.shape[-2], -1)

    assert hw.check(of_named_parts).ok


@pytest.mark.exhaustive
def test_first_tokens_that_stay_in_a_window_are_a_pattern():
    def streaming_attention(q, k, v, window=4, num_sinks=2):
        n, m = np.arange(q.shape[-2])[:, None], np.arange(k.shape[-2])
        visible = (m <= n) & ((n - m < window) | (m < num_sinks))
        return softmax(np.where(visible, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -np.inf)) @ v

    verdict = hw.check(streaming_attention)
    assert verdict.ok
    assert "pattern-built-in" in verdict.conventions
