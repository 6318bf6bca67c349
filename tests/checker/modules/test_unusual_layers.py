"""Layers that take masks, angles or parts in unusual forms, or convert types; and mistakes next to them."""

import pytest

import headwise as hw
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.unusual_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "MaskObject": ((), ("mask-hides",)),
    "MaskObjectIgnored": (("mask-ignored",), ()),
    "Inner": ((), ("mask-hides",)),
    "InnerUnscaled": (("scale-missing",), ()),
    "OtherForm": ((), ()),
    "OnlyInTraining": (("mask-ignored",), ()),
    "FloatNextToBuffer": ((), ()),
    "FloatNextToBufferUnscaled": (("scale-missing",), ()),
    "TypeOfDevice": ((), ()),
    "CallsItsDropout": ((), ()),
    "LocalHeads": ((), ("rope",)),
    "LocalHeadsTiled": (("groups-tiled",), ("rope",)),
    "NormOverTokens": ((), ("norm-inside", "residual-inside")),
    "NormOverTokensOverQueries": (("softmax-axis",), ()),
    "PastOfTokens": ((), ()),
    "PastOfTokensInTurn": (("unknown",), ()),
    "CachedMask": ((), ("mask-additive",)),
    "CachedMaskMoved": (("unknown",), ()),
    "FlagUnread": (("causal-missing",), ()),
    "FlatPositions": ((), ("rope",)),
    "FlatPositionsUnscaled": (("scale-missing",), ("rope",)),
    "KeyDistances": ((), ("position-bias",)),
    "KeyDistancesOfOtherItems": (("unknown",), ()),
    "CausalSelfAttention": ((), ("causal-unasked",)),
    "CausalSelfAttentionLost": (("causal-missing",), ()),
    "NeedsAddedMask": ((), ("mask-additive",)),
    "NeedsAddedMaskReshaped": (("reshaped-not-transposed",), ("mask-additive",)),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


def test_a_bias_of_another_form_is_not_tested():
    assert "relative_bias" in hw.check(layers.OtherForm).untested
    assert "relative_bias" not in hw.check(layers.OtherForm, init="dim=12, heads=3, positions='relative'").untested


def test_a_table_of_cosines_and_sines_is_passed():
    assert hw.check(layers.TableOfAngles).ok
    assert hw.check(layers.TableOfAnglesOneSide).mistakes == ("rope-one-side",)
