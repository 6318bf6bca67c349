"""Habits of public code that are no mistakes, and mistakes next to them."""

import pytest

import headwise as hw
from headwise.checker.search.effort import evaluations
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.habits_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "OthersOnly": ((), ("own-key-hidden", "scale-learned", "norm-inside")),
    "OthersOnlyUnscaled": (("scale-missing",), ("own-key-hidden", "norm-inside")),
    "HeadsFirst": ((), ("padding-hides",)),
    "HeadsFirstScaledTwice": (("scale-no-root",), ("padding-hides",)),
    "HidesQueriesToo": ((), ("padding-hides-queries",)),
    "NormsItsContext": ((), ("norm-inside",)),
    "NormsItsContextUnscaled": (("scale-missing",), ("norm-inside",)),
    "WindowAndCap": ((), ("window-built-in", "softcap-built-in")),
    "HandsConfigOn": ((), ()),
    "PackedImages": ((), ()),
    "PackedInEachItem": ((), ()),
    "TurnedBeforeHeads": ((), ("rope-by-head",)),
    "WeightsOfFirstHead": ((), ()),
    "ImageOfTables": ((), ("position-bias",)),
    "RowsOfImage": ((), ("pattern-built-in",)),
    "LocalAndGlobal": ((), ("pattern-built-in",)),
    "StridedCausal": ((), ("pattern-built-in",)),
    "StridedUnscaled": (("scale-missing",), ("pattern-built-in",)),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


def test_a_mistake_is_named_although_masks_are_not_explained():
    assert "groups-tiled" in hw.check(layers.GroupsInside).mistakes


def test_tokens_of_other_sequences_must_not_be_seen():
    assert not hw.check(layers.PackedImagesMixed).ok


def test_a_pattern_that_is_said_to_be_causal_must_be():
    assert not hw.check(layers.StridedLeaking).ok


def test_what_may_not_be_meant_is_listed():
    assert "whether tokens are meant not to see themselves" in hw.check(layers.OthersOnly).untested
    assert "whether angles of its own in each head are meant" in hw.check(layers.TurnedBeforeHeads).untested
    assert "head_mask" in hw.check(layers.HandsConfigOn).untested


def test_a_convention_next_to_a_hazard_is_soon_found():
    before = evaluations()
    assert hw.check(layers.HidesQueriesToo).ok
    assert evaluations() - before < 20_000
