"""Mistakes that show only for other numbers of items and tokens, or for items without any, are not called right."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.search.effort import limited_evaluations


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def logits(q, k):
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def many_cut_off(q, k, v):
    return softmax(logits(q, k[..., :16, :])) @ v[..., :16, :]


def blocks_not_rescaled(q, k, v):
    top, total, output = -np.inf, 0, 0
    for start in range(0, k.shape[-2], 32):
        s = logits(q, k[..., start : start + 32, :])
        top = np.maximum(top, s.max(axis=-1, keepdims=True))
        p = np.exp(s - top)
        total, output = total + p.sum(axis=-1, keepdims=True), output + p @ v[..., start : start + 32, :]
    return output / total


def zero_for_one_token(q, k, v):
    return softmax(logits(q, k)) @ v * (q.shape[-2] > 1)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "with_what"),
    [(many_cut_off, "many tokens"), (zero_for_one_token, "a single token")],
)
def test_other_numbers_of_tokens_are_tried(function, with_what):
    verdict = hw.check(function)
    assert verdict.mistakes == ("unknown",)
    assert any(note.startswith("It differs only with") and with_what in note for note in verdict.notes)


def test_a_mistake_that_only_many_tokens_show_is_named():
    assert hw.check(blocks_not_rescaled).mistakes == ("online-not-rescaled",)


def test_an_item_without_tokens_is_tried():
    def at_least_one(q, k, v, lengths):
        valid = np.arange(k.shape[-2]) < np.maximum(lengths, 1)[:, None, None, None]
        return softmax(np.where(valid, logits(q, k), -np.inf)) @ v

    assert "mask-finite-fill" in hw.check(at_least_one).hazards


@pytest.mark.exhaustive
def test_a_prefix_that_is_cut_off_is_not_right():
    def short_prefix(q, k, v, prefix_len):
        n, m = np.arange(q.shape[-2])[:, None], np.arange(k.shape[-2])
        return softmax(np.where((m <= n) | (m < min(prefix_len, 3)), logits(q, k), -np.inf)) @ v

    assert not hw.check(short_prefix).ok


def test_a_causal_function_of_as_many_queries_as_keys_has_heads_before_tokens():
    def windowed(q, k, v, w):
        """Each token sees w tokens before it and itself."""
        distance = np.arange(q.shape[-2])[:, None] - np.arange(q.shape[-2])
        return softmax(np.where((distance >= 0) & (distance <= w), logits(q, k), -np.inf)) @ v

    verdict = hw.check(windowed)
    assert verdict.ok
    assert verdict.conventions == ("window-as-number", "causal-unasked")


def test_two_masks_are_passed_together():
    def one_of_two(q, k, v, attn_mask=None, key_padding_mask=None):
        """Both masks are True where hidden; q, k and v are (B, N, d), attn_mask (N, M), key_padding_mask (B, M)."""
        s = logits(q, k)
        if attn_mask is not None:
            s = np.where(attn_mask, -np.inf, s)
        elif key_padding_mask is not None:
            s = np.where(key_padding_mask[:, None, :], -np.inf, s)
        return softmax(s) @ v

    assert not hw.check(one_of_two).ok


def weights_without_the_mask(q, k, v, mask=None):
    s = logits(q, k)
    return softmax(s if mask is None else np.where(mask, s, -np.inf)) @ v, softmax(s)


@pytest.mark.parametrize("evaluations", [-12_000, pytest.param(np.inf, marks=pytest.mark.exhaustive)])
def test_weights_that_nothing_explains_are_not_right(evaluations):
    with limited_evaluations(evaluations):
        assert hw.check(weights_without_the_mask).mistakes == ("unknown",)


def test_a_window_that_every_call_has_explains_nothing():
    def kernel_smoother(queries, keys, values, bandwidth=1.0):
        """Nadaraya-Watson regression with a Gaussian kernel."""
        squares = ((queries[:, None, :] - keys[None, :, :]) ** 2).sum(-1)
        weights = np.exp(-squares / (2 * bandwidth**2))
        return (weights / weights.sum(1, keepdims=True)) @ values

    with limited_evaluations(-12_000):
        assert hw.check(kernel_smoother).mistakes == ("unknown",)


@pytest.mark.parametrize(("axis", "mistakes"), [(-1, ()), (0, ("softmax-axis",))])
def test_heads_that_a_loop_leaves_out_are_as_if_refused(axis, mistakes):
    def by_head(query, key, value):
        """query (h, n, d), key (h, m, d), value (h, m, e)"""
        heads = []
        for q, k, v in zip(query, key, value, strict=False):
            e = np.exp(q @ k.T / np.sqrt(q.shape[1]))
            heads.append(e / e.sum(axis=axis, keepdims=True) @ v)
        return np.stack(heads)

    verdict = hw.check(by_head)
    assert verdict.mistakes == mistakes
    listed = "fewer key heads than query heads (it returns only as many heads as the keys have)" in verdict.untested
    assert listed == verdict.ok
