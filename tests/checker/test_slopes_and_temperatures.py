"""Functions that have to be given slopes of a position bias, a temperature, or a scale."""

import numpy as np
import pytest

import headwise as hw


def softmax(s, axis=-1):
    e = np.exp(s - s.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def products(q, k):
    return q @ k.swapaxes(-1, -2)


def distances(q, k):
    return np.arange(q.shape[-2])[:, None] - np.arange(k.shape[-2])


def with_slopes(q, k, v, alibi_slopes):
    s = products(q, k) / np.sqrt(q.shape[-1])
    return softmax(s - alibi_slopes[:, None, None] * np.abs(distances(q, k))) @ v


def causal_with_slopes(q, k, v, slopes):
    s = products(q, k) / np.sqrt(q.shape[-1]) - slopes[:, None, None] * distances(q, k)
    return softmax(np.where(distances(q, k) >= 0, s, -np.inf)) @ v


def growing_with_distance(q, k, v, slopes):
    s = products(q, k) / np.sqrt(q.shape[-1])
    return softmax(s + slopes[:, None, None] * np.abs(distances(q, k))) @ v


def growing_for_later_keys(q, k, v, slopes):
    return softmax(products(q, k) / np.sqrt(q.shape[-1]) - slopes[:, None, None] * distances(q, k)) @ v


def growing_for_hidden_keys(q, k, v, slopes, causal=False):
    s = products(q, k) / np.sqrt(q.shape[-1]) - slopes[:, None, None] * distances(q, k)
    return softmax(np.where(distances(q, k) >= 0, s, -np.inf) if causal else s) @ v


def without_scale(q, k, v, slopes):
    return softmax(products(q, k) - slopes[:, None, None] * np.abs(distances(q, k))) @ v


def slope_of_the_first_head(q, k, v, slopes):
    return softmax(products(q, k) / np.sqrt(q.shape[-1]) - slopes[0] * np.abs(distances(q, k))) @ v


def bias_of_the_first_head(q, k, v, bias):
    """Bias (H, N, M)."""
    return softmax(products(q, k) / np.sqrt(q.shape[-1]) + bias[0]) @ v


def slopes_without_influence(q, k, v, slopes):
    return softmax(products(q, k) / np.sqrt(q.shape[-1])) @ v


def temperature_alone(q, k, v, temperature):
    return softmax(products(q, k) / temperature) @ v


def temperature_and_width(q, k, v, temperature=1.0):
    return softmax(products(q, k) / (temperature * np.sqrt(q.shape[-1]))) @ v


def temperature_without_width(q, k, v, temperature=1.0):
    return softmax(products(q, k) / temperature) @ v


def times_temperature(q, k, v, temperature):
    return softmax(products(q, k) * temperature) @ v


def temperature_without_influence(q, k, v, tau):
    return softmax(products(q, k) / np.sqrt(q.shape[-1])) @ v


def temperature_over_queries(q, k, v, tau):
    return softmax(products(q, k) / tau, axis=-2) @ v


def divided(q, k, v, scale):
    return softmax(products(q, k) / scale) @ v


def multiplied(q, k, v, beta):
    return softmax(beta * products(q, k)) @ v


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "conventions"),
    [
        (with_slopes, {"alibi"}),
        (causal_with_slopes, {"alibi", "causal-unasked"}),
        (growing_for_hidden_keys, {"alibi", "signed-distances"}),
        (temperature_alone, {"temperature"}),
        (temperature_and_width, set()),
        (divided, {"scale-divides"}),
        (multiplied, set()),
    ],
)
def test_what_has_to_be_given_is_passed(function, conventions):
    verdict = hw.check(function)
    assert verdict.ok, verdict.report()
    assert set(verdict.conventions) == conventions
    untested = ["whether its scale is meant to divide"] * ("scale-divides" in conventions)
    causal = {"causal-unasked", "signed-distances"} & conventions
    untested += ["whether the first of fewer queries than keys is meant to see the first key alone"] * bool(causal)
    assert [*verdict.untested] == untested


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "mistake"),
    [
        (growing_with_distance, "alibi-sign"),
        (growing_for_later_keys, "alibi-sign"),
        (without_scale, "scale-missing"),
        (slope_of_the_first_head, "bias-not-broadcast"),
        (bias_of_the_first_head, "bias-not-broadcast"),
        (slopes_without_influence, "bias-missing"),
        (temperature_without_width, "scale-missing"),
        (times_temperature, "scale-inverted"),
        (temperature_without_influence, "scale-ignored"),
        pytest.param(temperature_over_queries, "softmax-axis", marks=pytest.mark.whole_search),
    ],
)
def test_a_mistake_with_it_is_named(function, mistake):
    assert hw.check(function).mistakes == (mistake,)


def cosines(q, k, v, tau=0.1):
    """Cosine attention."""
    q, k = (a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (q, k))
    return softmax(products(q, k) / tau) @ v


def cosines_over_queries(q, k, v, tau=0.1):
    q, k = (a / np.linalg.norm(a, axis=-1, keepdims=True) for a in (q, k))
    return softmax(products(q, k) / tau, axis=-2) @ v


@pytest.mark.exhaustive
def test_cosines_over_a_temperature_are_no_root_mean_squares_with_a_wrong_scale():
    verdict = hw.check(cosines)
    assert verdict.ok, verdict.report()
    assert set(verdict.conventions) == {"qk-norm", "temperature"}
    assert not hw.check(cosines_over_queries).ok


def inverted_and_divided(q, k, v, scale=None):
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return softmax(products(q, k) / scale) @ v


def root_that_divides(q, k, v, scale=None):
    return softmax(products(q, k) / (np.sqrt(q.shape[-1]) if scale is None else scale)) @ v


def test_a_scale_that_divides_needs_a_default_that_divides():
    assert hw.check(inverted_and_divided).mistakes == ("scale-inverted",)
    assert hw.check(root_that_divides).ok


def interleaved(heads):
    """The slopes of a power of 2, then every other one of twice as many."""
    power = 2 ** int(np.log2(heads))
    first, more = (2.0 ** (-8 * np.arange(1, n + 1) / n) for n in (power, 2 * power))
    return np.concatenate([first, more[::2][: heads - power]])[:, None, None]


def falling(q, k, v):
    s = products(q, k) / np.sqrt(q.shape[-1]) - interleaved(q.shape[1]) * distances(q, k)
    return softmax(np.where(distances(q, k) >= 0, s, -np.inf)) @ v


def growing(q, k, v):
    s = products(q, k) / np.sqrt(q.shape[-1]) + interleaved(q.shape[1]) * distances(q, k)
    return softmax(np.where(distances(q, k) >= 0, s, -np.inf)) @ v


@pytest.mark.exhaustive
def test_slopes_of_three_heads_as_in_the_code_of_the_paper():
    assert "alibi" in hw.check(falling).conventions
    assert hw.check(growing).mistakes == ("alibi-sign",)


def alibi_with(slopes_of):
    """Causal attention with linear biases by these slopes."""

    def alibi_attention(q, k, v):
        n = np.arange(q.shape[-2])
        logits = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
        logits = logits - slopes_of(q.shape[1])[:, None, None] * (n[:, None] - n)
        logits = np.where(n[:, None] >= n, logits, -np.inf)
        p = np.exp(logits - logits.max(-1, keepdims=True))
        return p / p.sum(-1, keepdims=True) @ v

    return alibi_attention


@pytest.mark.exhaustive
def test_slopes_of_stated_alibi_are_those_of_alibi():
    eight = hw.check(alibi_with(lambda heads: 2.0 ** -np.arange(1, heads + 1)))
    assert eight.ok  # as with eight heads
    reverse = hw.check(alibi_with(lambda heads: 2.0 ** (-8 * np.arange(heads, 0, -1) / heads)))
    assert reverse.ok  # the order of heads means nothing
    verdict = hw.check(alibi_with(lambda heads: 0.1 * np.arange(1, heads + 1)))
    assert verdict.mistakes == ("unknown",)
    assert any("those of its bias are 0.1, 0.2" in note for note in verdict.notes)


def scaled_by_a_number(q, k, v, mask=None):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(512)
    return softmax(s if mask is None else np.where(mask, s, -np.inf)) @ v


def scaled_by_a_logarithm(x, wq, wk, wv):
    """Causal self-attention."""
    q, k, v = x @ wq.T, x @ wk.T, x @ wv.T
    s = q @ k.T / np.log(1 + q.shape[-1])
    return softmax(np.where(np.tri(len(s), dtype=bool), s, -np.inf)) @ v


def scaled_like_two_heads(q, k, v):
    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(2 * q.shape[-1])) @ v


@pytest.mark.parametrize(
    ("function", "factors"),
    [
        (scaled_by_a_number, "by 0.04419, however wide the heads are."),
        (scaled_by_a_logarithm, "by 0.4809 with heads of width 7, where 1/√d is 0.378, and by 0.9102 with heads of"),
        (scaled_like_two_heads, "by 0.2887 with heads of width 6, where 1/√d is 0.4082, and by 0.2132 with heads of"),
    ],
)
def test_a_scale_that_no_entry_has_is_measured(function, factors):
    verdict = hw.check(function)
    assert verdict.mistakes == ("scale-other",)
    assert any(note.startswith(f"The logits are multiplied {factors}") for note in verdict.notes), verdict.notes


def test_a_factor_that_depends_on_the_tokens_is_no_scale():
    def scaled_by_the_largest(q, k, v):
        s = q @ k.swapaxes(-1, -2)
        return softmax(s / (1 + np.abs(s).max(axis=(-1, -2), keepdims=True))) @ v

    assert hw.check(scaled_by_the_largest).mistakes == ("unknown",)
