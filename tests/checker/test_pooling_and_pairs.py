"""A learned vector as the only query; keys and values of all heads in one array; what a docstring says of a window."""

import numpy as np
import pytest

import headwise as hw


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def pooled(H, w):
    """H (T, d) hidden states, w (d,) learned query"""
    return softmax(H @ w / np.sqrt(len(w))) @ H


def pooled_without_softmax(H, w):
    """H (T, d) hidden states, w (d,) learned query"""
    s = H @ w / np.sqrt(len(w))
    return s / s.sum() @ H


def pooled_items(x, u):
    """x (B, T, d), u (d,)"""
    return np.einsum("bt,btd->bd", softmax(x @ u), x)


def pooled_items_over_the_batch(x, u):
    """x (B, T, d), u (d,)"""
    return np.einsum("bt,btd->bd", softmax(x @ u, axis=0), x)


def pooled_with_a_mask(hidden_states, attention_vector, mask=None):
    """hidden_states (B, T, d); mask (B, T), True where padded"""
    s = (hidden_states * attention_vector).sum(-1)
    p = softmax(s if mask is None else np.where(mask, -np.inf, s))
    return (p[..., None] * hidden_states).sum(1), p


def pooled_with_an_inverted_mask(hidden_states, attention_vector, mask=None):
    """hidden_states (B, T, d); mask (B, T), True where padded"""
    return pooled_with_a_mask(hidden_states, attention_vector, None if mask is None else ~mask)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [
        (pooled, ()),
        (pooled_without_softmax, ("softmax-missing",)),
        (pooled_items, ()),
        pytest.param(pooled_items_over_the_batch, ("softmax-over-batch",), marks=pytest.mark.whole_search),
        (pooled_with_a_mask, ()),
        pytest.param(pooled_with_an_inverted_mask, ("mask-inverted",), marks=pytest.mark.whole_search),
    ],
)
def test_a_vector_that_pools_tokens_is_a_query(function, mistakes):
    verdict = hw.check(function)
    assert verdict.mistakes == mistakes
    assert "unprojected" in verdict.conventions


def keys_beside_values(q, kv, n_heads, width_of="head", of_each=False):
    """q (B, N, D); kv (B, M, 2 * D)"""
    B, N, D = q.shape
    parts = np.moveaxis(kv.reshape(B, -1, n_heads, 2, D // n_heads), 3, 0) if of_each else None
    if parts is None:
        parts = [a.reshape(B, -1, n_heads, D // n_heads) for a in np.split(kv, 2, axis=-1)]
    k, v = (a.swapaxes(1, 2) for a in parts)
    q = q.reshape(B, N, n_heads, -1).swapaxes(1, 2)
    s = q @ k.swapaxes(-1, -2) / np.sqrt(D if width_of == "model" else D // n_heads)
    return (softmax(s) @ v).swapaxes(1, 2).reshape(B, N, D)


def beside(q, kv, n_heads):
    return keys_beside_values(q, kv, n_heads)


def beside_in_each_head(q, kv, n_heads):
    return keys_beside_values(q, kv, n_heads, of_each=True)


def beside_with_the_scale_of_the_model(q, kv, n_heads):
    return keys_beside_values(q, kv, n_heads, width_of="model")


def test_keys_and_values_of_all_heads_in_one_array():
    assert hw.check(beside).ok
    assert hw.check(beside_in_each_head).ok
    verdict = hw.check(beside_with_the_scale_of_the_model)
    assert (verdict.kind, verdict.mistakes) == ("cross_attention", ("scale-model-width",))


def seen_before(q, k, v, window, more=0):
    n = np.arange(len(q))[:, None]
    m = np.arange(len(k))
    s = np.where((m <= n) & (m > n - window - more), q @ k.T / np.sqrt(q.shape[-1]), -np.inf)
    return softmax(s) @ v


def of_the_stated_window(q, k, v, window=3):
    """Each query attends to itself and the `window - 1` keys before it."""
    return seen_before(q, k, v, window)


def of_one_more(q, k, v, window=3):
    """Each query attends to itself and the `window - 1` keys before it."""
    return seen_before(q, k, v, window, more=1)


def of_one_more_after_the_last(q, k, v, window=3):
    """Each query attends to itself and the previous `window - 1` keys."""
    return seen_before(q, k, v, window, more=1)


@pytest.mark.exhaustive
def test_a_window_less_one_counts_its_own_key():
    assert hw.check(of_the_stated_window).ok
    assert hw.check(of_one_more).mistakes == ("window-off-by-one",)
    assert hw.check(of_one_more_after_the_last).mistakes == ("window-off-by-one",)


def test_a_single_key_is_not_hidden_by_a_mask_that_has_to_be_passed():
    def attend(h, enc, mask):
        """Tokens h (B, T, D) attend to enc (B, S, D) where mask (B, S) is 1."""
        s = h @ enc.transpose(0, 2, 1) / np.sqrt(h.shape[-1]) + (1.0 - mask[:, None, :]) * -1e9
        e = np.exp(s - s.max(axis=2, keepdims=True))
        return e / e.sum(axis=2, keepdims=True) @ enc

    verdict = hw.check(attend)
    assert verdict.ok
    assert verdict.hazards == ("mask-finite-fill",)
