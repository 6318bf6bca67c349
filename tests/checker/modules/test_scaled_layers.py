"""Layers with a scale of their own, or none by design."""

import pytest

import headwise as hw
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.scaled_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "OwnScale": ((), ("scale-configured",)),
    "OwnScaleTiled": (("groups-tiled",), ("scale-configured",)),
    "OwnScaleTwice": (("scale-other",), ()),
    "LiteralScale": (("scale-missing",), ()),
    "Buckets": ((), ("unscaled", "position-bias")),
    "BucketsTiled": (("groups-tiled",), ("unscaled",)),
    "Temperature": ((), ()),
    "TemperatureUnused": (("scale-missing",), ()),
    "TemperatureTwice": (("scale-no-root",), ()),
    "TemperatureMultiplies": (("scale-inverted",), ()),
    "StoredWidth": ((), ()),
    "StoredWidthWithoutRoot": (("scale-no-root",), ()),
    "StoredWidthInverted": (("scale-inverted",), ()),
    "Divisor": ((), ()),
    "GivenScale": ((), ()),
    "GivenScaleUnused": (("scale-missing",), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


def test_a_width_or_scale_that_an_instance_stores_is_that_of_its_queries():
    layer = layers.Temperature(8.0)
    assert_verdict(layer, (), ())
    assert layer.temperature == 8.0
    assert_verdict(layers.StoredWidth(64), (), ())
    assert_verdict(layers.StoredWidthInverted(64), ("scale-inverted",), ())


def test_a_factor_of_an_instance_is_no_root_for_want_of_a_way_to_make_it_again():
    assert not hw.check(layers.UnknownMaker("this", 16)).ok
