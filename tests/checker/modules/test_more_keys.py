"""Layers with keys besides those of the tokens, and with projections in blocks or lists."""

import pytest

from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.more_keys_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "MemoryOfHeads": ((), ("registers",)),
    "MemoryOfHeadsUnscaled": (("scale-missing",), ("registers",)),
    "MemoryOfFirstHead": (("unknown",), ()),
    "MeshedMemory": ((), ("registers",)),
    "Resampler": ((), ("context-and-tokens", "norm-inside")),
    "ResamplerUnscaled": (("scale-missing",), ("context-and-tokens", "norm-inside")),
    "ResamplerForgetsLatents": (("unknown",), ()),
    "Blocks": ((), ()),
    "BlocksUnscaled": (("scale-missing",), ()),
    "GroupsInBlocks": ((), ()),
    "GroupsInBlocksTiled": (("groups-tiled",), ()),
    "Heads": ((), ()),
    "OneHeadInList": (("heads-share-matrices",), ()),
    "RotatesBeforeSplit": (("unknown",), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])
