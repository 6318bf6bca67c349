"""Layers with what everyday code has around them: dictionaries, objects, configurations, writing into tokens."""

import pytest

import headwise as hw
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.everyday_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "Fused": ((), ()),
    "OfDictionary": ((), ()),
    "OfDictionaryUnscaled": (("scale-missing",), ()),
    "OfTuple": ((), ()),
    "ReturnsObject": ((), ()),
    "PresentTokens": ((), ()),
    "PresentTokensInverted": (("mask-inverted",), ()),
    "Pool": ((), ("padding-hides",)),
    "PoolInverted": (("mask-inverted",), ("padding-hides",)),
    "AddsTokens": ((), ("residual-inside", "norm-inside")),
    "AddsNormalised": ((), ("residual-normalised",)),
    "Interacting": ((), ("activation-last",)),
    "InteractingUnscaled": (("scale-missing",), ("activation-last",)),
    "NeedsContext": ((), ()),
    "NeedsContextWide": (("scale-model-width",), ()),
    "Lengths": ((), ()),
    "LengthsInverted": (("padding-inverted",), ()),
    "Unscaled": ((), ("unscaled",)),
    "Grouped": ((), ()),
    "Tiled": (("groups-tiled",), ()),
    "TiledByDefault": (("groups-tiled",), ()),
    "OldKeysFirst": ((), ("causal-unasked",)),
    "Registers": ((), ("registers",)),
    "RegistersUnscaled": (("scale-missing",), ("registers",)),
    "TableOfDistances": ((), ("position-bias",)),
    "TableOfFirstHead": (("unknown",), ("position-bias",)),
    "NewKeysFirst": (("unknown",), ("causal-unasked",)),
    "Window": ((), ("window-built-in",)),
    "WindowOneMore": (("window-off-by-one",), ("window-built-in",)),
    "WindowForgotten": (("window-ignored",), ("causal-unasked",)),
    "OffsetsOfGrid": ((), ("position-bias",)),
    "OffsetsCollide": (("unknown",), ("position-bias",)),
    "SameBucket": (("unknown",), ("causal-unasked",)),
    "CausalUnlessMasked": ((), ("causal-without-mask",)),
    "CausalUnlessPadded": (("causal-missing",), ()),
    "CausalBuffer": ((), ("causal-unasked",)),
    "NullKey": ((), ("registers",)),
    "NullKeyHidesLast": (("unknown",), ()),
    "FixedWidths": ((), ()),
    "MaskedLogits": (("weights-before-softmax",), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


def test_a_class_that_is_right_is_made_with_other_sizes():
    verdict = hw.check(layers.HalfScale)
    assert not verdict.ok
    assert "With other numbers of heads, features and tokens it is right." in verdict.notes
    assert hw.check(layers.HalfScale(12, 3)).ok  # as it is


def test_only_what_adds_its_normalised_tokens_is_reported_as_that():
    assert "residual-normalised" not in hw.check(layers.AddsTokens).conventions


def test_it_is_said_which_table_is_used_in_part():
    note = "Of relative_bias_table, only the entries for some of the heads change an output."
    assert note in hw.check(layers.TableOfFirstHead).notes


def test_writing_into_the_tokens_is_a_hazard():
    verdict = hw.check(layers.WritesIntoTokens)
    assert verdict.ok
    assert verdict.hazards == ("input-changed",)


@pytest.mark.exhaustive
def test_normalised_keys_of_groups_are_measured():
    assert hw.check(layers.NormedGroups).mistakes == ("unknown",)
