"""Code that no call reaches, masks of two types, and declared features that raise."""

import sys

import numpy as np
import pytest

import headwise as hw


@pytest.fixture
def untraced():
    """A process that nothing else traces, as `make coverage` does: the checker leaves another's tracing alone."""
    before = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(before)


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def with_branches(q, k, v, mask=None, mode=None):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        if mask.ndim == 7:
            s = s * 2
            s = s + 1
        s = np.where(mask, s, -np.inf)
    if mode == "doubled":
        s = s * 2
    if s.ndim < 2:
        raise ValueError("too few axes")
    if q.shape[-2] > 5000:
        return s @ v
    return softmax(s) @ v


def test_lines_that_no_call_reached_are_listed(untraced):
    first = with_branches.__code__.co_firstlineno
    lines = (f"lines {first + 4}–{first + 5}, which no call reached", f"line {first + 12}, which no call reached")
    verdict = hw.check(with_branches)
    assert verdict.ok
    assert verdict.untested == ("mode", *lines)


def scores(q, k):
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def of_two_types(q, k, v, attn_mask=None):
    s = scores(q, k)
    if attn_mask is not None:
        s = np.where(attn_mask, s, -np.inf) if attn_mask.dtype == bool else s + attn_mask
    return softmax(s) @ v


def subtracted(q, k, v, attn_mask=None):
    s = scores(q, k)
    if attn_mask is not None:
        s = np.where(attn_mask, s, -np.inf) if attn_mask.dtype == bool else s - attn_mask
    return softmax(s) @ v


def turned_into_booleans(q, k, v, mask=None):
    s = scores(q, k)
    if mask is not None:
        mask = mask if mask.dtype == bool else mask.astype(bool)
        s = np.where(mask, s, -np.inf)
    return softmax(s) @ v


def test_a_mask_that_is_added_if_it_is_of_numbers_is_passed_as_such():
    assert hw.check(of_two_types).ok
    assert hw.check(turned_into_booleans).ok
    verdict = hw.check(subtracted)
    assert verdict.mistakes == ("unknown",)
    assert any("a mask of numbers other than 0 and −∞" in note for note in verdict.notes)


def of_groups(q, k, v):
    times = q.shape[1] // k.shape[1]
    return softmax(scores(q, k.repeat(times, axis=1))) @ v.repeat(times, axis=2).reshape(v.shape)


def test_fewer_key_heads_that_raise_are_untested_if_there_is_code_for_them():
    assert any("fewer key heads" in words for words in hw.check(of_groups).untested)


def with_dropout(q, k, v, scale=None, dropout_p=0.0, training=False, always=False):
    s = q @ np.swapaxes(k, -1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    p = softmax(s)
    if dropout_p > 0 and (training or always):
        p = p * (np.random.default_rng().random(p.shape) > dropout_p) / (1 - dropout_p)
    return p @ v


def dropping(q, k, v, dropout_p=0.0, training=False):
    return with_dropout(q, k, v, None, dropout_p, training, always=True)


def with_small_scales(q, k, v, scale=None):
    return with_dropout(q, k, v, None if scale is None or scale > 1 else scale)


def test_dropout_without_training_and_scales_above_one_are_tried():
    assert hw.check(with_dropout).ok
    assert hw.check(dropping).mistakes == ("dropout-active",)
    assert hw.check(with_small_scales).mistakes
