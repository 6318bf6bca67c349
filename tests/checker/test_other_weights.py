"""Functions that say that they are no softmax attention are compared with what they say that they are."""

import numpy as np
import pytest

import headwise as hw
from headwise.errors import DataError
from planted.handwritten import softmax


def products(q, k):
    return q @ np.swapaxes(k, -1, -2)


def scaled(q, k):
    return products(q, k) / np.sqrt(q.shape[-1])


def sparsemax(s):
    """The projection onto the simplex, by bisection for the threshold."""
    low, high = s.max(-1, keepdims=True) - 1, s.max(-1, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        more = np.maximum(s - middle, 0).sum(-1, keepdims=True) > 1
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.maximum(s - low, 0)


def sparsemax_attention(q, k, v):
    return sparsemax(scaled(q, k)) @ v


def sparsemax_attention_without_scale(q, k, v):
    return sparsemax(products(q, k)) @ v


def onto_the_simplex(q, k, v):
    return sparsemax(scaled(q, k)) @ v


def entmax(s):
    low, high = s.max(-1, keepdims=True) / 2 - 1, s.max(-1, keepdims=True) / 2
    for _ in range(60):
        middle = (low + high) / 2
        more = (np.maximum(s / 2 - middle, 0) ** 2).sum(-1, keepdims=True) > 1
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.maximum(s / 2 - low, 0) ** 2


def entmax_attention(q, k, v):
    """Attention with 1.5-entmax in place of the softmax."""
    return entmax(scaled(q, k)) @ v


def relu_attention(q, k, v, mask=None):
    """ReLU attention, over the number of keys."""
    weights = np.maximum(scaled(q, k), 0) / k.shape[-2]
    return (weights if mask is None else np.where(mask, weights, 0)) @ v


def relu_attention_over_the_root(q, k, v):
    return np.maximum(scaled(q, k), 0) / np.sqrt(k.shape[-2]) @ v


def sigmoid_attention(q, k, v):
    return 1 / (1 + np.exp(np.log(k.shape[-2]) - scaled(q, k))) @ v


def sigmoids_under_another_name(q, k, v):
    return 1 / (1 + np.exp(-scaled(q, k))) @ v


def features(a):
    return np.where(a > 0, a + 1, np.exp(np.minimum(a, 0)))


def linear_attention(q, k, v, eps=1e-6):
    """Linear attention with elu + 1."""
    q, k = features(q), features(k)
    return q @ (np.swapaxes(k, -1, -2) @ v) / ((q * k.sum(-2, keepdims=True)).sum(-1, keepdims=True) + eps)


def causal_linear_attention(q, k, v):
    """Causal linear attention with running sums."""
    q, k = features(q), features(k)
    sums = np.cumsum(k[..., None] * v[..., None, :], axis=-3)
    return np.einsum("...nd,...nde->...ne", q, sums) / (q * np.cumsum(k, axis=-2)).sum(-1, keepdims=True)


def linear_attention_without_sums(q, k, v):
    return features(q) @ (np.swapaxes(features(k), -1, -2) @ v)


def performer_attention(q, k, v):
    """FAVOR+ with random features."""
    directions = np.random.default_rng(0).normal(size=(q.shape[-1], 32))
    q, k = (np.exp(a @ directions - (a**2).sum(-1, keepdims=True) / 2) for a in (q, k))
    return products(q, k) @ v / products(q, k).sum(-1, keepdims=True)


def talking_heads(q, k, v, P_l, P_w):
    """Talking-heads attention; P_l and P_w (heads, heads) mix logits and weights."""
    return np.einsum("bhnm,hg->bgnm", softmax(np.einsum("bhnm,hg->bgnm", scaled(q, k), P_l)), P_w) @ v


def talking_heads_before_alone(q, k, v, P_l, P_w):
    """Talking-heads attention; P_l and P_w (heads, heads) mix logits and weights."""
    return softmax(np.einsum("bhnm,hg->bgnm", scaled(q, k), P_l)) @ v


def talking_heads_of_two_orders(q, k, v, P_l, P_w):
    """Talking-heads attention; P_l and P_w (heads, heads) mix logits and weights."""
    return np.einsum("bhnm,gh->bgnm", softmax(np.einsum("bhnm,hg->bgnm", scaled(q, k), P_l)), P_w) @ v


def with_largest(q, k, v, topk=3):
    s = scaled(q, k)
    least = np.sort(s, axis=-1)[..., -min(topk, s.shape[-1]), None]
    return softmax(np.where(s >= least, s, -np.inf)) @ v


def with_larger_than_these(q, k, v, topk=3):
    s = scaled(q, k)
    least = np.sort(s, axis=-1)[..., -min(topk, s.shape[-1]), None]
    return softmax(np.where(s > least, s, -np.inf)) @ v


def T5_attention(q, k, v, bias):
    return softmax(products(q, k) + bias) @ v


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "convention"),
    [
        (sparsemax_attention, "sparsemax"),
        (entmax_attention, "entmax"),
        (relu_attention, "relu-weights"),
        (sigmoid_attention, "sigmoid-weights"),
        (linear_attention, "kernel-weights"),
        (causal_linear_attention, "kernel-weights"),
        (talking_heads, "talking-heads"),
        (T5_attention, "unscaled"),
    ],
)
def test_what_a_function_says_that_it_is_is_a_convention(function, convention):
    verdict = hw.check(function)
    assert verdict.ok, verdict.report()
    assert not set(verdict.hazards) - {"mask-leaks-nan"}
    assert convention in verdict.conventions


def test_the_number_of_largest_logits_is_passed():
    verdict = hw.check(with_largest)
    assert verdict.ok
    assert not verdict.untested


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistake"),
    [
        (sparsemax_attention_without_scale, "scale-missing"),
        (onto_the_simplex, "unknown"),
        (sigmoids_under_another_name, "unknown"),
        (talking_heads_before_alone, "unknown"),
        (talking_heads_of_two_orders, "unknown"),
        (with_larger_than_these, "unknown"),
    ],
)
def test_a_mistake_next_to_it_and_other_weights_that_are_not_stated_are_not_right(function, mistake):
    assert hw.check(function).mistakes == (mistake,)


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "name"),
    [
        pytest.param(performer_attention, "linear attention", marks=pytest.mark.exhaustive),
        (linear_attention_without_sums, "linear attention"),
        (relu_attention_over_the_root, "ReLU attention"),
    ],
)
def test_a_form_that_is_not_known_is_refused_by_its_name(function, name):
    with pytest.raises(DataError, match=name):
        hw.check(function)
