"""Functions with another optional mask next to the first."""

import numpy as np
import pytest

import headwise as hw
from planted.correct import softmax


def scores(q, k):
    return q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])


def hidden_by_each(q, k, v, attn_mask=None, causal_mask=None):
    s = scores(q, k)
    if attn_mask is not None:
        s = np.where(attn_mask, s, -np.inf)
    if causal_mask is not None:
        s = np.where(causal_mask, -np.inf, s)
    return softmax(s) @ v


def hidden_by_the_last(q, k, v, attn_mask=None, causal_mask=None):
    s = scores(q, k)
    hidden = s if attn_mask is None else np.where(attn_mask, s, -np.inf)
    if causal_mask is not None:
        hidden = np.where(causal_mask, -np.inf, s)
    return softmax(hidden) @ v


def hidden_by_both(q, k, v, mask=None, tgt_mask=None):
    given = [one for one in (mask, tgt_mask) if one is not None]
    return softmax(np.where(np.any(given, axis=0), scores(q, k), -np.inf) if given else scores(q, k)) @ v


def added_to_each(q, k, v, attention_mask=None, causal_attention_mask=None):
    """attention_mask and causal_attention_mask are added to the logits, (B, 1, N, M)."""
    s = scores(q, k) + (0 if attention_mask is None else attention_mask)
    return softmax(s + (0 if causal_attention_mask is None else causal_attention_mask)) @ v


def not_used(q, k, v, attn_mask=None, tgt_mask=None):
    return softmax(np.where(True if attn_mask is None else attn_mask, scores(q, k), -np.inf)) @ v


def test_masks_that_hide_together_are_right():
    for function in (hidden_by_each, added_to_each):
        verdict = hw.check(function)
        assert verdict.ok
        assert not verdict.untested


@pytest.mark.parametrize("function", [hidden_by_the_last, hidden_by_both])
def test_each_of_two_masks_has_to_hide(function):
    verdict = hw.check(function)
    assert verdict.mistakes == ("unknown",)
    assert "does not hide what either of them hides" in verdict.report()


def test_a_mask_that_hides_nothing_by_itself_is_not_tested():
    verdict = hw.check(not_used)
    assert verdict.ok
    assert verdict.untested == ("tgt_mask",)
