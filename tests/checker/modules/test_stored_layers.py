"""Layers whose names, lists, flags and fixed parameters say, or hide, what their arrays are."""

import pytest

import headwise as hw
from headwise.errors import HeadwiseError
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.stored_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "Rotary": ((), ("rope",)),
    "ListOfThree": ((), ()),
    "ListOfThreeUnscaled": (("scale-missing",), ()),
    "Flagged": ((), ()),
    "FlaggedForgotten": (("bias-missing",), ()),
    "CountedAsSize": ((), ()),
    "WideValues": ((), ("position-bias",)),
    "NodesFirst": ((), ()),
    "BatchTakenForTokens": (("batch-mixed",), ()),
    "DataAsH": ((), ()),
    "Grouped": ((), ()),
    "GroupedUnscaled": (("scale-missing",), ()),
    "OfGroups": ((), ("rope",)),
    "TwoNumbers": ((), ()),
    "FrozenPositions": ((), ("positions-inside",)),
    "WrittenOut": ((), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


@pytest.mark.parametrize(
    "name", ["RotaryBackwards", "SizeAsCount", "WideValuesScaled", "DataAsHUnused", "OfGroupsOneSide"]
)
def test_what_is_wrong_is_never_right(name):
    assert not hw.check(getattr(layers, name)).ok


def test_learned_rotations_that_are_not_tested_are_never_right():
    with pytest.raises(HeadwiseError, match=r"rope_freqs .*not tested|more than the projections"):
        hw.check(layers.LearnedTurns)


def test_biases_that_are_asked_for_are_added():
    assert hw.check(layers.Flagged(12, 3, use_bias=True)).ok
