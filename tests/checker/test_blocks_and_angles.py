"""Sizes of blocks with a default, rotary angles next to matrices, and masks whose keys are counted."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker.diff import diff


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def online(q, k, v, starts, mask=None, rescale=True, late=1.0):
    """Softmax over blocks of keys; `late` is a factor of the output so far at each block after the first."""
    top = np.full((*q.shape[:-1], 1), -np.inf)
    total, output = np.zeros_like(top), np.zeros((*q.shape[:-1], v.shape[-1]))
    for start in starts:
        keys = slice(start, start + starts.step)
        s = q @ np.swapaxes(k[..., keys, :], -1, -2) / np.sqrt(q.shape[-1])
        s = s if mask is None else np.where(mask[..., keys], s, -np.inf)
        new = np.maximum(top, s.max(axis=-1, keepdims=True))
        e, factor = np.exp(s - new), np.exp(top - new) * (late if start else 1)
        total = total * factor + e.sum(axis=-1, keepdims=True)
        output = output * (factor if rescale else 1) + e @ v[..., keys, :]
        top = new
    return output / total


def in_blocks(q, k, v, block_size=64):
    return online(q, k, v, range(0, k.shape[-2], block_size))


def unrescaled(q, k, v, block_size=64):
    return online(q, k, v, range(0, k.shape[-2], block_size), rescale=False)


def wrong_in_large_blocks(q, k, v, block_size=4096):
    return online(q, k, v, range(0, k.shape[-2], block_size), late=0.9 if block_size > 1 else 0.8)


def masked(q, k, v, mask=None, block_size=128):
    return online(q, k, v, range(0, k.shape[-2], block_size), mask)


def test_blocks_of_one_token_show_mistakes():
    assert hw.check(in_blocks).ok
    assert hw.check(unrescaled).mistakes == ("online-not-rescaled",)


@pytest.mark.exhaustive
def test_blocks_of_the_usual_size_are_tried_with_more_keys_than_one_has():
    verdict = hw.check(wrong_in_large_blocks)
    assert verdict.mistakes == ("unknown",)
    assert any("4099 keys" in note for note in verdict.notes)


@pytest.mark.exhaustive
def test_whole_blocks_of_hidden_keys_are_tried():
    verdict = hw.check(masked)
    assert verdict.mistakes == ("unknown",)
    assert any("all but the last three are hidden" in note for note in verdict.notes)


def halves(x, cos, sin):
    a, b = np.split(x, 2, axis=-1)
    return x * cos + np.concatenate([-b, a], axis=-1) * sin


def neighbours(x, cos, sin):
    a, b = x[..., ::2], x[..., 1::2]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)


def split(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def merged(q, k, v, wo):
    o = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v
    return o.transpose(0, 2, 1, 3).reshape(len(o), o.shape[2], -1) @ wo.T


def rotated(x, wq, wk, wv, wo, cos, sin, n_heads):
    q, k, v = (split(x @ w.T, n_heads) for w in (wq, wk, wv))
    return merged(halves(q, cos, sin), halves(k, cos, sin), v, wo)


def rotated_with_values(x, wq, wk, wv, wo, freqs_cos, freqs_sin, n_heads):
    return merged(*(neighbours(split(x @ w.T, n_heads), freqs_cos, freqs_sin) for w in (wq, wk, wv)), wo)


def rotated_on_one_side(x, wq, wk, wv, cos, sin):
    q, k, v = x @ wq.T, x @ wk.T, x @ wv.T
    return softmax(halves(q, cos, sin) @ k.T / np.sqrt(k.shape[-1])) @ v


def rotated_if_asked(x, wq, wk, wv, wo, n_heads, cos=None, sin=None):
    q, k, v = (split(x @ w.T, n_heads) for w in (wq, wk, wv))
    if cos is not None:
        q, k = halves(q, cos, sin), halves(k, cos, -sin)
    return merged(q, k, v, wo)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (rotated, ()),
        (rotated_with_values, ("rope-on-values",)),
        (rotated_on_one_side, ("rope-one-side",)),
        (rotated_if_asked, ("unknown",)),
    ],
)
def test_rotary_angles_are_passed_next_to_matrices(function, mistakes):
    assert hw.check(function).mistakes == mistakes


def with_counted_mask(q, k, v, key_padding_mask=None, causal=False, softcap=0.0, cap_last=False):
    s = np.einsum("bthd,bshd->bhts", q, k) / np.sqrt(q.shape[-1])
    s = softcap * np.tanh(s / softcap) if softcap and not cap_last else s
    n, m = s.shape[-2:]
    count = m if key_padding_mask is None else key_padding_mask.sum(-1)[:, None, None, None]
    hidden = np.zeros((1, 1, n, m), bool)
    if key_padding_mask is not None:
        hidden = hidden | ~key_padding_mask[:, None, None, :]
    if causal:
        hidden = hidden | (np.arange(m) > np.arange(n)[:, None] + count - n)
    s = np.where(hidden, -np.inf, s)
    s = softcap * np.tanh(s / softcap) if softcap and cap_last else s
    p = np.where(hidden.all(axis=-1, keepdims=True), 0, softmax(np.where(hidden.all(axis=-1, keepdims=True), 0, s)))
    return np.einsum("bhts,bshd->bthd", p, v)


def with_softcap_last(q, k, v, key_padding_mask=None, causal=False, softcap=0.0):
    _lengths = key_padding_mask.sum(-1) if key_padding_mask is not None else 0
    return with_counted_mask(q, k, v, key_padding_mask, causal, softcap, cap_last=True)


@pytest.mark.exhaustive
@pytest.mark.whole_search
def test_a_mask_whose_keys_are_counted_lines_up_queries_with_the_last_of_them():
    verdict = hw.check(with_counted_mask)
    assert verdict.ok
    assert "causal-aligned-end" in verdict.conventions
    assert "gaps in key_padding_mask, whose keys it counts" in verdict.untested
    assert hw.check(with_softcap_last).mistakes == ("softcap-order",)


def aligned(q, k, v, zeros):
    """Causal attention; the last query is aligned with the last key."""
    n, m = q.shape[-2], k.shape[-2]
    visible = np.tril(np.ones((n, m), bool), m - n)
    s = np.where(visible, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]), -np.inf)
    output = softmax(np.where(visible.any(axis=-1, keepdims=True), s, 0)) @ v
    return np.where(visible.any(axis=-1, keepdims=True), output, 0.0 if zeros else np.nan)


def causal_with_zeros(q, k, v):
    """Causal attention; the last query is aligned with the last key."""
    return aligned(q, k, v, True)


def causal_with_nan(q, k, v):
    """Causal attention; the last query is aligned with the last key."""
    return aligned(q, k, v, False)


def test_queries_that_see_nothing_are_an_edge_case_of_a_comparison():
    difference = diff(causal_with_zeros, causal_with_nan)
    assert difference.same
    assert difference.edge_cases
