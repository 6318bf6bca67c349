"""Layers whose heads of queries share heads of keys."""

import pytest

import headwise as hw

pytest.importorskip("torch")
layers = pytest.importorskip("layers.grouped_layers")
pytestmark = pytest.mark.parity


def test_items_are_as_many_as_no_sort_of_heads():
    verdict = hw.check(layers.FiveAxes)
    assert verdict.ok
    assert any(words.startswith("another mask for each item and head") for words in verdict.untested)


def test_angles_along_heads_that_share_keys_are_named():
    assert hw.check(layers.TurnedByHead).mistakes == ("rope-axis",)
