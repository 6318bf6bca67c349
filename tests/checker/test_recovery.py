"""The attention weights behind an output: what they show of functions that have a bias, or that nothing explains."""

import numpy as np
import pytest

import headwise as hw


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def logits(q, k):
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def waves(q, k):
    return np.sin(np.arange(k.shape[-2]) - 2.0 * np.arange(q.shape[-2])[:, None])


def biased(q, k, v):
    return softmax(logits(q, k) + waves(q, k)) @ v


def biased_without_scale(q, k, v):
    return softmax(np.sqrt(q.shape[-1]) * logits(q, k) + waves(q, k)) @ v


def biased_by_head(X, Wq, Wk, Wv, Wo, heads):
    q, k, v = ((X @ W.T).reshape(*X.shape[:-1], heads, -1).swapaxes(-2, -3) for W in (Wq, Wk, Wv))
    o = softmax(logits(q, k) + np.arange(1, heads + 1)[:, None, None] * waves(q, k)) @ v
    return o.swapaxes(-2, -3).reshape(X.shape) @ Wo.T


def reversed_linear_bias(q, k, v):
    distance = np.abs(np.arange(q.shape[-2])[:, None] - np.arange(k.shape[-2]))
    slopes = 2.0 ** (-8.0 * np.arange(1, q.shape[1] + 1) / q.shape[1])[:, None, None]
    return softmax(np.sqrt(q.shape[-1]) * logits(q, k) + slopes * distance) @ v


def warm(q, k, v, bias=0.0):
    return softmax(0.7 * logits(q, k) + bias**2) @ v


def warm_and_biased(q, k, v, bias=0.0):
    return softmax(0.7 * logits(q, k) + waves(q, k) + bias**2) @ v


def squared(q, k, v):
    return softmax(logits(q * q, k)) @ v


def sigmoid(q, k, v):
    return 1 / (1 + np.exp(-logits(q, k))) @ v


@pytest.mark.parametrize("function", [biased, biased_by_head])
def test_a_bias_of_positions_is_a_convention(function):
    verdict = hw.check(function)
    assert verdict.ok
    assert "position-bias" in verdict.conventions
    assert verdict.difference < 1e-9


@pytest.mark.whole_search
@pytest.mark.parametrize(
    ("function", "mistakes"),
    [(biased_without_scale, ("scale-missing",)), (reversed_linear_bias, ("scale-missing", "alibi-sign"))],
)
def test_a_mistake_next_to_a_bias_is_named(function, mistakes):
    assert hw.check(function).mistakes == mistakes


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "words"),
    [
        (warm, "log p − 0.2858 · q · k is a constant in each row; 1/√d is 0.4082"),
        (warm_and_biased, "log p − 0.2858 · q · k depends only on the positions of query and key"),
        (squared, "sum to one in each row. log p − q · k / √d depends on the tokens"),
        (sigmoid, "in a row, not to one"),
    ],
)
def test_the_report_says_what_the_weights_show(function, words):
    verdict = hw.check(function)
    assert not verdict.ok
    assert words in " ".join(verdict.report().split())


def with_sinks(q, k, v, sinks):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    of_sinks = np.broadcast_to(np.reshape(sinks, (-1, 1, 1)), (*s.shape[:-1], 1))
    a = np.concatenate([s, of_sinks], axis=-1)
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return (e / e.sum(axis=-1, keepdims=True))[..., :-1] @ v


def test_what_sinks_take_a_share_of_is_no_property():
    verdict = hw.check(with_sinks)
    assert verdict.ok
    assert "✗" not in str(verdict)
