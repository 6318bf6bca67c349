"""A class that is right with the usual arguments is made with others: widths that differ, options that are off."""

import pytest

import headwise as hw
from headwise.checker.search.effort import evaluations
from headwise.errors import DataError
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.constructor_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "HiddenWidth": ((), ()),
    "HiddenWidthScaledByModel": (("scale-model-width",), ()),
    "WidthForScale": ((), ()),
    "Options": ((), ()),
    "FlagForgotten": (("causal-missing",), ()),
    "SeesTheLater": (("causal-reversed",), ()),
    "BiasForgotten": (("bias-missing",), ()),
    "Downsampled": ((), ()),
    "DownsampledScaledByModel": (("scale-model-width",), ()),
    "Activated": ((), ()),
    "OtherWidths": ((), ()),
    "OfArrays": ((), ()),
    "AfterConvolutions": ((), ()),
    "KeptForItems": ((), ("causal-unasked",)),
    "MaskOfWindows": ((), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


def test_equal_widths_show_no_mistake():
    assert hw.check(layers.HiddenWidthScaledByModel(12, 12, 3)).ok
    verdict = hw.check(layers.HiddenWidthScaledByModel)
    made = "HiddenWidthScaledByModel(dim=32, hidden_dim=24, num_heads=4)"
    assert f"This verdict is for {made}." in verdict.notes


def test_the_report_says_which_option_it_is():
    notes = hw.check(layers.FlagForgotten, init="dim=12, heads=3").notes
    assert "This verdict is for causal=True; without it is right." in notes


def test_options_that_are_given_stay_as_they_are():
    assert hw.check(layers.FlagForgotten, init="dim=12, heads=3, causal=False, sliding_window=None").ok


def test_options_that_cannot_be_turned_on_are_listed():
    assert "the option rel_pos of its constructor" in hw.check(layers.Options).untested
    assert "the option activation of its constructor" in hw.check(layers.Activated).untested


def test_keys_and_values_of_tokens_of_two_widths_are_no_riddle():
    layer = layers.OtherWidths(24, 20, 28)
    with pytest.raises(DataError, match="keys are made from tokens of width 20 and its values from those of width 28"):
        hw.check(layer)


@pytest.mark.exhaustive
def test_options_together_are_searched_for_one_mistake_only():
    before = evaluations()
    assert not hw.check(layers.SeesTheLater).ok
    assert evaluations() - before < 52_000
