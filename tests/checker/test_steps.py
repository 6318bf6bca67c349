"""Single steps of decoding: a token, and the keys and values of the tokens before it."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker import UncallableError


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def step(x_t, k_cache, v_cache, Wq, Wk, Wv):
    q = Wq @ x_t
    k, v = np.vstack([k_cache, Wk @ x_t]), np.vstack([v_cache, Wv @ x_t])
    return softmax(k @ q / np.sqrt(len(q))) @ v, k, v


def step_of_items(x, k_cache, v_cache, W_q, W_k, W_v):
    """x (B, 1, D)"""
    q = x @ W_q
    k, v = np.concatenate([k_cache, x @ W_k], axis=1), np.concatenate([v_cache, x @ W_v], axis=1)
    return softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])) @ v, (k, v)


def step_of_heads(x_t, k_cache, v_cache, Wq, Wk, Wv, Wo, n_heads):
    """Caches (H, T, d)."""
    q, k, v = ((x_t @ W).reshape(n_heads, 1, -1) for W in (Wq, Wk, Wv))
    k, v = np.concatenate([k_cache, k], axis=1), np.concatenate([v_cache, v], axis=1)
    return (softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])) @ v).reshape(-1) @ Wo, k, v


def step_of_projected(q_t, k_t, v_t, k_cache, v_cache):
    k, v = np.concatenate([k_cache, k_t[None]]), np.concatenate([v_cache, v_t[None]])
    return softmax(k @ q_t / np.sqrt(len(q_t))) @ v, k, v


def without_scale(x_t, k_cache, v_cache, Wq, Wk, Wv):
    k, v = np.vstack([k_cache, Wk @ x_t]), np.vstack([v_cache, Wv @ x_t])
    return softmax(k @ (Wq @ x_t)) @ v, k, v


def without_own_key(x_t, k_cache, v_cache, Wq, Wk, Wv):
    q = Wq @ x_t
    output = softmax(k_cache @ q / np.sqrt(len(q))) @ v_cache
    return output, np.vstack([k_cache, Wk @ x_t]), np.vstack([v_cache, Wv @ x_t])


def by_the_model_width(x_t, k_cache, v_cache, Wq, Wk, Wv, Wo, n_heads):
    q, k, v = ((x_t @ W).reshape(n_heads, 1, -1) for W in (Wq, Wk, Wv))
    k, v = np.concatenate([k_cache, k], axis=1), np.concatenate([v_cache, v], axis=1)
    return (softmax(q @ k.swapaxes(1, 2) / np.sqrt(len(x_t))) @ v).reshape(-1) @ Wo, k, v


def cache_as_before(x_t, k_cache, v_cache, Wq, Wk, Wv):
    output, _, _ = step(x_t, k_cache, v_cache, Wq, Wk, Wv)
    return output, k_cache, v_cache


def cache_of_tokens(x_t, k_cache, v_cache, Wq, Wk, Wv):
    output, _, v = step(x_t, k_cache, v_cache, Wq, Wk, Wv)
    return output, np.vstack([k_cache, x_t]), v


def caches_exchanged(x_t, k_cache, v_cache, Wq, Wk, Wv):
    output, k, v = step(x_t, k_cache, v_cache, Wq, Wk, Wv)
    return output, v, k


def values_first(x_t, v_cache, k_cache, Wq, Wk, Wv):
    output, k, v = step(x_t, k_cache, v_cache, Wq, Wk, Wv)
    return output, v, k


def caches_by_name(x_t, k_cache, v_cache, Wq, Wk, Wv):
    output, k, v = step(x_t, k_cache, v_cache, Wq, Wk, Wv)
    return output, {"v": v, "k": k}


def refusing(x, k_cache, v_cache, W_q, W_k, W_v, n_heads):
    raise ValueError("not here")


STEPS = [step, step_of_items, step_of_heads, step_of_projected, values_first, caches_by_name]


def test_a_step_that_raises_in_every_layout_is_refused():
    with pytest.raises(UncallableError, match="not here"):
        hw.check(refusing)


@pytest.mark.parametrize("function", STEPS)
def test_a_step_is_right(function):
    verdict = hw.check(function)
    assert verdict.ok, verdict.report()
    assert "keys-cached" in verdict.conventions
    assert not verdict.untested


@pytest.mark.parametrize(
    ("function", "mistake"),
    [
        (without_scale, "scale-missing"),
        (without_own_key, "causal-strict"),
        (by_the_model_width, "scale-model-width"),
        (cache_as_before, "unknown"),
        (cache_of_tokens, "unknown"),
        (caches_exchanged, "unknown"),
    ],
)
def test_a_mistake_in_a_step_is_named(function, mistake):
    assert hw.check(function).mistakes == (mistake,)


def turned(x, first):
    angles = (first + np.arange(x.shape[-2]))[:, None] * 1e4 ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)], axis=-1)


def of_turned(q, k, v):
    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])) @ v


def cache_of_turned_keys(q, k, v, k_cache, v_cache):
    """q, k, v (H, 1, d): rotary positions."""
    first = k_cache.shape[1]
    keys = np.concatenate([k_cache, turned(k, first)], axis=1)
    return of_turned(turned(q, first), keys, np.concatenate([v_cache, v], axis=1))


def cache_of_keys(q, k, v, k_cache, v_cache):
    """q, k, v (H, 1, d): rotary positions."""
    keys, first = np.concatenate([k_cache, k], axis=1), k_cache.shape[1]
    return of_turned(turned(q, first), turned(keys, 0), np.concatenate([v_cache, v], axis=1))


def without_earlier_positions(q, k, v, k_cache, v_cache):
    """q, k, v (H, 1, d): rotary positions."""
    keys = np.concatenate([k_cache, turned(k, 0)], axis=1)
    return of_turned(turned(q, 0), keys, np.concatenate([v_cache, v], axis=1))


@pytest.mark.exhaustive
def test_a_new_token_has_the_position_after_those_of_the_cache():
    assert "rope-cached" in hw.check(cache_of_turned_keys).conventions
    assert hw.check(cache_of_keys).ok
    assert not hw.check(without_earlier_positions).ok
