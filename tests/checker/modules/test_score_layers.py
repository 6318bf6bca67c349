"""Layers that attend from given queries to given keys, with a score of their own: Luong's and Bahdanau's."""

import numpy as np
import pytest

import headwise as hw
from headwise.checker import UncallableError
from headwise.errors import DataError
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.score_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "Dot": ((), ("unprojected", "unscaled")),
    "DotOverBatch": (("softmax-over-batch",), ()),
    "General": ((), ("unscaled",)),
    "GeneralOverQueries": (("softmax-axis",), ("unscaled",)),
    "GeneralTwice": (("softmax-twice",), ("unscaled",)),
    "GeneralOfWidths": ((), ("unscaled",)),
    "GeneralMaskIgnored": (("mask-ignored",), ()),
    "Scaled": ((), ()),
    "Additive": ((), ()),
    "AdditiveLinear": (("unknown",), ()),
    "AdditiveOfNames": ((), ()),
    "Concatenated": ((), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


def test_what_is_not_tested_is_said():
    assert {f"{name}.bias (zero in this check)" for name in ("Wa", "Ua", "Va")} <= {*hw.check(layers.Additive).untested}
    assert "values" in hw.check(layers.AdditiveOfNames).untested  # the keys take their place


def test_more_than_a_score_is_refused_with_what_is_checked():
    with pytest.raises(DataError, match=r"qᵀ W k \(Luong\) or a · tanh"):
        hw.check(layers.AttentionalState)


def test_what_a_decoder_does_besides_is_refused_with_what_is_checked():
    def global_attention(h_t, h_s, W_a, W_c):
        scores = h_s @ W_a @ h_t
        weights = np.exp(scores - scores.max())
        return np.tanh(W_c @ np.concatenate([weights / weights.sum() @ h_s, h_t]))

    with pytest.raises(UncallableError, match=r"q W k \(Luong\) and a · tanh"):
        hw.check(global_attention)


def test_luongs_score_of_queries_and_keys_has_no_scale_unless_it_says_so():
    def luong_attention(query, keys, values):
        scores = query @ keys.swapaxes(-1, -2)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return weights / weights.sum(axis=-1, keepdims=True) @ values

    def scaled_attention(query, keys, values):
        """Luong's dot product, scaled."""
        return luong_attention(query, keys, values)

    assert hw.check(luong_attention).ok
    assert hw.check(scaled_attention).mistakes == ("scale-missing",)


@pytest.mark.parametrize(("axis", "mistakes"), [(-1, ()), (0, ("softmax-over-batch",))])
def test_keys_may_be_added_to_a_query_with_an_axis_of_its_own(axis, mistakes):
    def attention(query, keys, Wa, Ua, va):  # (B, 1, D), (B, M, D)
        scores = np.tanh(query @ Wa + keys @ Ua) @ va
        weights = np.exp(scores - scores.max(axis=axis, keepdims=True))
        return (weights / weights.sum(axis=axis, keepdims=True))[:, None] @ keys

    assert hw.check(attention).mistakes == mistakes


def test_sums_of_numbers_of_nodes_are_refused_by_name():
    with pytest.raises(DataError, match="graph attention networks"):
        hw.check(layers.GraphAttention)
