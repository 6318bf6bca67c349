"""Layers with a scale of their own, or none by design."""

import pytest

from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.scaled_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "OwnScale": ((), ("scale-configured",)),
    "OwnScaleTiled": (("groups-tiled",), ("scale-configured",)),
    "OwnScaleTwice": (("unknown",), ()),
    "LiteralScale": (("scale-missing",), ()),
    "Buckets": ((), ("unscaled", "position-bias")),
    "BucketsTiled": (("groups-tiled",), ("unscaled",)),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])
