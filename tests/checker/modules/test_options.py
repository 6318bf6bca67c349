"""Options of layers in forms of their own: masks, softcaps, scales, biases, queries; and mistakes next to them."""

import pytest

from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.options_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "TwoMasks": ((), ("masks-apart",)),
    "TwoMasksOneIgnored": (("mask-ignored",), ()),
    "MaskMakesCausal": (("mask-ignored",), ()),
    "Capped": ((), ("softcap-built-in", "mask-additive")),
    "CappedLast": (("softcap-order",), ("softcap-built-in",)),
    "CapForgotten": (("softcap-ignored",), ()),
    "T5Attention": ((), ("unscaled", "position-bias")),
    "RelativeAttention": (("scale-missing",), ("position-bias",)),
    "LearnedQueries": ((), ()),
    "LearnedQueriesOverQueries": (("softmax-axis",), ()),
    "FoldedBias": ((), ()),
    "BiasOfFirstHead": (("bias-not-broadcast",), ()),
    "PreNorm": ((), ("mask-hides", "norm-inside", "residual-inside")),
    "SizeOfImage": ((), ()),
    "AddsResidual": ((), ()),
    "KeysAndValues": ((), ()),
    "ValuesOfKeyInput": (("inputs-exchanged",), ()),
    "DropsAlways": (("dropout-active",), ()),
    "SlidingWindow": ((), ("causal-unasked", "window-built-in")),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])
