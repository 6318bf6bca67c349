"""Conventions are detected and reported; they are no mistakes, and hide none."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker import UncallableError
from headwise.checker.reference.conventions import Requirements
from headwise.errors import DataError


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def in_out(X, W_q, W_k, W_v):
    return softmax(X @ W_q @ (X @ W_k).T / np.sqrt(W_q.shape[1])) @ X @ W_v


def tokens_first(query, key, value, scaled=True):
    s = np.einsum("bthd,bshd->bhts", query, key) / (np.sqrt(query.shape[-1]) if scaled else 1)
    return np.einsum("bhts,bshd->bthd", softmax(s), value)


def causal(q, k, v, scaled=True, left=None):
    n = np.arange(q.shape[-2])
    seen = n[:, None] >= n if left is None else (n[:, None] >= n) & (n >= n[:, None] - left)
    s = q @ np.swapaxes(k, -1, -2) / (np.sqrt(q.shape[-1]) if scaled else 1)
    return softmax(np.where(seen, s, -np.inf)) @ v


def masked(q, k, v, visible):
    s = np.where(visible, q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]), -np.inf)
    return softmax(s) @ v


def causal_without_mask(q, k, v, mask=None, scaled=True):
    visible = np.tri(q.shape[-2], k.shape[-2], dtype=bool) if mask is None else mask
    return masked(q, k, v, visible) if scaled else masked(q * q.shape[-1] ** 0.5, k, v, visible)


def items_second(x, w_q, w_k, w_v):
    L, N, E = x.shape
    q, k, v = (np.moveaxis(x @ w.T, 1, 0) for w in (w_q, w_k, w_v))
    return np.moveaxis(softmax(q @ np.swapaxes(k, 1, 2) / np.sqrt(len(w_q))) @ v, 1, 0) + np.zeros((L, N, E))[..., :1]


def of_a_context(x, context, Wq, Wk, Wv, context_mask=None):
    s = (x @ Wq.T) @ (context @ Wk.T).T / np.sqrt(len(Wq))
    s = s if context_mask is None else np.where(context_mask[None, :], s, -np.inf)
    return softmax(s) @ (context @ Wv.T)


def row_by_row(q, k, v, scaled=True):
    output = np.zeros_like(v)
    for i, query in enumerate(q):
        output[i] = softmax(k @ query / (np.sqrt(q.shape[1]) if scaled else 1)) @ v
    return output


def within_reach(q, k, v, w):
    n = np.arange(len(q))
    s = np.where(abs(n[:, None] - np.arange(len(k))) <= w, q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    return softmax(s) @ v


def capped(q, k, v, softcap=30.0):
    return softmax(softcap * np.tanh(q @ k.T / np.sqrt(q.shape[1]) / softcap)) @ v


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("function", "convention"),
    [
        (lambda q, k, v: row_by_row(q, k, v), "equal-lengths"),
        (within_reach, "window-as-number"),
        (in_out, "weights-in-out"),
        (lambda X, Wq, Wk, Wv: hw.self_attention(X, Wq, Wk, Wv, tokens="columns").output, "tokens-as-columns"),
        (lambda query, key, value: tokens_first(query, key, value), "tokens-before-heads"),
        (lambda q, k, v: causal(q, k, v), "causal-unasked"),
        (lambda q, k, v: causal(q, k, v, left=3), "window-built-in"),
        (lambda q, k, v, mask=None: causal_without_mask(q, k, v, mask), "causal-without-mask"),
        (lambda q, k, v, mask: masked(q, k, v, ~mask), "mask-hides"),
        (lambda q, k, v, mask: softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1]) + mask) @ v, "mask-additive"),
        (lambda X, W_qkv: hw.self_attention(X, *np.split(W_qkv, 3)).output, "weights-fused"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_convention_is_reported_and_is_no_mistake(function, convention):
    verdict = hw.check(function, source="")
    assert verdict.ok, verdict.mistakes
    assert convention in verdict.conventions
    assert verdict.phrases[0] in " ".join(verdict.report().split())
    assert verdict.difference < 1e-9


@pytest.mark.parametrize(
    "function",
    [
        lambda query, key, value: tokens_first(query, key, value, scaled=False),
        lambda q, k, v: causal(q, k, v, scaled=False),
        lambda q, k, v: row_by_row(q, k, v, scaled=False),
        lambda q, k, v, mask=None: causal_without_mask(q, k, v, mask, scaled=False),
        lambda X, W_q, W_k, W_v: in_out(X, W_q * W_q.shape[1] ** 0.5, W_k, W_v),
    ],
)
def test_a_mistake_next_to_a_convention_is_named(function):
    verdict = hw.check(function, source="")
    assert verdict.mistakes == ("scale-missing",)
    assert verdict.conventions


def test_items_after_tokens_are_known_by_the_names_of_a_shape():
    verdict = hw.check(items_second)
    assert verdict.ok, verdict.mistakes
    assert "tokens-before-batch" in verdict.conventions


@pytest.mark.parametrize("function", [capped, of_a_context])
def test_a_default_that_is_a_number_and_a_mask_of_a_context_are_passed_as_they_are_meant(function):
    verdict = hw.check(function, source="")
    assert verdict.ok, verdict.mistakes
    assert not verdict.untested


@pytest.mark.parametrize(("options", "codes"), [({}, ()), ({"weights": "out-in"}, ("weights-transposed",))])
def test_a_convention_can_be_required(options, codes):
    assert hw.check(in_out, **options).mistakes == codes
    assert hw.check(in_out, convention=["weights-" + options.get("weights", "in-out")]).mistakes == codes


def test_the_meaning_of_a_mask_is_what_its_documentation_states():
    def f(q, k, v, key_padding_mask):
        """key_padding_mask (batch, keys): True where there is padding."""
        return masked(q, k, v, key_padding_mask[:, None, None])

    def g(q, k, v, key_padding_mask):
        """key_padding_mask (batch, keys): True where there is padding."""
        return masked(q, k, v, ~key_padding_mask[:, None, None])

    assert hw.check(f, source="").mistakes == ("mask-inverted",)
    assert hw.check(g, source="").ok


def test_what_was_never_passed_is_listed():
    verdict = hw.check(lambda q, k, v, rope_theta=None: softmax(q @ np.swapaxes(k, -1, -2) / q.shape[-1] ** 0.5) @ v)
    assert verdict.ok
    assert "rope_theta" in verdict.untested
    assert "rope_theta" in verdict.report()


def test_the_order_of_arguments_can_be_stated():
    def f(a, b, c, d):
        return hw.self_attention(a, d, c, b).output

    assert not hw.check(f, source="").ok
    assert hw.check(f, args="X,Wv,Wk,Wq", source="").ok


def test_a_refusal_names_one_cause_and_gives_an_adapter():
    with pytest.raises(UncallableError, match=r"unknown argument `slots`(.|\n)*def adapter\(function, q, k, v\)"):
        hw.check(lambda q, k, v, slots: None)


@pytest.mark.parametrize("options", [{"weights": "up"}, {"mask": "up"}, {"convention": "up"}])
def test_unknown_requirements_are_refused(options):
    with pytest.raises(DataError, match=next(iter(options))):
        Requirements.of(**options)


def with_small_number(q, k, v, mask=None, scaled=True, eps=1e-6):
    s = q @ np.swapaxes(k, -1, -2) / (np.sqrt(q.shape[-1]) if scaled else 1)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    e = e if mask is None else e * mask
    return e / (e.sum(axis=-1, keepdims=True) + eps) @ v


@pytest.mark.exhaustive
def test_a_small_number_in_the_denominator_is_a_convention_and_a_larger_one_is_not():
    verdict = hw.check(lambda q, k, v, mask=None: with_small_number(q, k, v, mask))
    assert verdict.ok
    assert verdict.conventions == ("softmax-epsilon",)
    assert verdict.hazards == ("mask-leaks-nan",)
    assert not hw.check(lambda q, k, v: with_small_number(q, k, v, eps=0.01)).ok


@pytest.mark.whole_search
def test_a_small_number_in_the_denominator_is_a_convention_next_to_a_mistake():
    verdict = hw.check(lambda q, k, v: with_small_number(q, k, v, scaled=False))
    assert verdict.conventions == ("softmax-epsilon",)
    assert verdict.mistakes == ("scale-missing",)


def without_padding(x, w_q, w_k, w_v, lengths, w_o=None, hides=True):
    valid = np.arange(x.shape[1]) < lengths[:, None]
    q, k, v = x @ w_q.T, x @ w_k.T, x @ w_v.T
    s = q @ k.swapaxes(1, 2) / np.sqrt(len(w_q))
    o = softmax(np.where(valid[:, None], s, np.finfo(s.dtype).min) if hides else s) @ v
    return (o if w_o is None else o @ w_o.T) * valid[..., None]


def test_outputs_of_padding_may_be_zero():
    verdict = hw.check(lambda x, w_q, w_k, w_v, lengths: without_padding(x, w_q, w_k, w_v, lengths))
    assert verdict.ok
    assert "padding-hides-queries" in verdict.conventions
    verdict = hw.check(lambda x, w_q, w_k, w_v, w_o, lengths: without_padding(x, w_q, w_k, w_v, lengths, w_o, False))
    assert verdict.mistakes == ("mask-on-queries",)  # all that its lengths hide is outputs


def rounded_scale(q, k, v, mask):
    s = q @ np.swapaxes(k, -1, -2) / np.sqrt(np.float32(q.shape[-1]))
    s = np.where(mask, s, -np.inf)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True) @ v


def rounded_wrong_scale(q, k, v, mask):
    return rounded_scale(q / np.float32(1.001), k, v, mask)


def test_a_number_of_float32_is_a_hazard_next_to_edge_cases():
    with np.errstate(invalid="ignore"):
        verdict = hw.check(rounded_scale)
        assert verdict.ok
        assert set(verdict.hazards) == {"dtype-lowered", "mask-all-hidden-nan", "mask-leaks-nan"}
        assert not hw.check(rounded_wrong_scale).ok
