"""Positions that a function is given, or counts with its padding mask."""

import numpy as np
import pytest

import headwise as hw
from planted.correct import softmax


def rotated(x, positions):
    """x (B, H, N, d), positions (B, N)"""
    d = x.shape[-1]
    angles = positions[:, None, :, None] * 1e4 ** (-np.arange(0, d, 2) / d)
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], axis=-1)


def attend(q, k, v, visible=True):
    return softmax(np.where(visible, q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]), -np.inf)) @ v


def rotary(q, k, v, position_ids):
    return attend(rotated(q, position_ids), rotated(k, position_ids), v)


def rotary_by_order(q, k, v, position_ids):
    order = np.broadcast_to(np.arange(q.shape[2]), position_ids.shape)
    return rotary(q, k, v, order)


def rotary_of_keys_by_order(q, k, v, position_ids):
    return attend(rotated(q, position_ids), rotated(k, np.arange(q.shape[2])[None]), v)


def rotary_of_one_sequence(q, k, v, positions):
    """q, k, v (N, H, d); positions (N,); a query sees the keys at its own position and before it."""
    turns = np.exp(1j * positions[:, None, None] * 0.5 ** np.arange(q.shape[-1] // 2))
    q, k = ((x[..., ::2] + 1j * x[..., 1::2]) * turns for x in (q, k))
    q, k = (np.concatenate([x.real, x.imag], axis=-1) for x in (q, k))
    q, k, v = (x.swapaxes(0, 1) for x in (q, k, v))
    return attend(q, k, v, positions[:, None] >= positions).swapaxes(0, 1)


def packed(q, k, v, position_ids):
    """q, k, v (N, H, d); position_ids (N,) begin again at 0 with each document."""
    document, place = np.cumsum(position_ids == 0), np.arange(len(q))
    visible = (document[:, None] == document) & (place[:, None] >= place)
    return attend(*(x.swapaxes(0, 1) for x in (q, k, v)), visible).swapaxes(0, 1)


def packed_one_late(q, k, v, position_ids):
    """q, k, v (N, H, d); position_ids (N,) begin again at 0 with each document."""
    document, place = np.cumsum(position_ids == 0), np.arange(len(q))
    document = np.append(1, document[:-1])
    visible = (document[:, None] == document) & (place[:, None] >= place)
    return attend(*(x.swapaxes(0, 1) for x in (q, k, v)), visible).swapaxes(0, 1)


def left_padded(q, k, v, attention_mask, begin=0):
    """q, k, v (B, H, N, d); attention_mask (B, N), 1 for tokens"""
    n, keep = np.arange(q.shape[2]), attention_mask != 0
    positions = np.where(keep, np.cumsum(attention_mask, axis=-1) - 1, 1)
    q, k = rotated(q, positions), rotated(k, positions + begin)
    return attend(q, k, v, (n[:, None] >= n) & keep[:, None, None])


def left_padded_one_late(q, k, v, attention_mask):
    """q, k, v (B, H, N, d); attention_mask (B, N), 1 for tokens"""
    return left_padded(q, k, v, attention_mask, begin=1)


def linear_biases(q, k, v, attention_mask, base=8.0):
    """q, k, v (B, H, N, d); attention_mask (B, N), 1 for tokens"""
    n, heads, keep = np.arange(q.shape[2]), q.shape[1], attention_mask != 0
    positions = (np.cumsum(attention_mask, axis=-1) - 1) * attention_mask
    bias = 2.0 ** (-base * np.arange(1, heads + 1) / heads)[:, None, None] * positions[:, None, None]
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + bias
    return softmax(np.where((n[:, None] >= n) & keep[:, None, None], s, -np.inf)) @ v


@pytest.mark.parametrize(
    ("function", "convention"),
    [
        (rotary, "rope"),
        (rotary_of_one_sequence, "rope"),
        (packed, "causal-unasked"),
        (left_padded, "rope"),
        (linear_biases, "alibi"),
    ],
)
def test_positions_may_be_given_or_counted(function, convention):
    verdict = hw.check(function)
    assert verdict.ok
    assert convention in verdict.conventions
    assert not any("position" in what for what in verdict.untested)


@pytest.mark.parametrize("function", [rotary_by_order, rotary_of_keys_by_order])
def test_positions_that_are_given_have_to_be_used(function):
    verdict = hw.check(function)
    assert verdict.mistakes == ("unknown",)
    assert "position_ids" in verdict.report()


@pytest.mark.parametrize("function", [packed_one_late, left_padded_one_late])
def test_other_positions_are_not_right(function):
    assert not hw.check(function).ok
