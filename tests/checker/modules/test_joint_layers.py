"""Layers of torch whose keys, or a part of their logits, come from elsewhere than their tokens."""

import pytest

import headwise as hw
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.joint_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "EdgeBias": ((), ()),
    "EdgeBiasTransposed": (("bias-transposed",), ()),
    "PairBias": ((), ()),
    "PairBiasTransposed": (("bias-transposed",), ()),
    "SmallerImage": ((), ("keys-reduced",)),
    "SmallerImageUnscaled": (("scale-missing",), ("keys-reduced",)),
    "SmallerImageUnmoved": (("heads-merged-unmoved",), ("keys-reduced",)),
    "TimeFirst": ((), ("tokens-before-batch", "rope")),
    "TimeFirstUnscaled": (("scale-missing",), ("tokens-before-batch", "rope")),
    "Unmasked": ((), ()),
    "Joint": ((), ()),
    "JointTextFirst": ((), ("rope",)),
    "JointUnscaled": (("scale-missing",), ()),
    "FusedStreams": ((), ()),
    "TwoContexts": ((), ()),
    "TwoContextsUnscaled": (("scale-missing",), ()),
    "OwnKeysForText": ((), ("context-and-tokens",)),
    "Adjacency": ((), ()),
    "NormedByDefault": ((), ("qk-norm",)),
    "TwoMasks": ((), ("mask-hides",)),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


@pytest.mark.parametrize(
    "name", ["JointSharesKeys", "TwoContextsShareKeys", "TwoContextsOneSoftmax", "SharedKeysForText"]
)
def test_projections_of_the_wrong_source_are_not_right(name):
    assert not hw.check(getattr(layers, name)).ok


def test_what_was_not_tested_is_listed():
    assert "sr.weight besides one pixel (zero in this check)" in hw.check(layers.SmallerImage).untested
    assert "time_mask" in hw.check(layers.TwoMasks).untested
    assert {"tau", "delta"} <= set(hw.check(layers.Unmasked).untested)
