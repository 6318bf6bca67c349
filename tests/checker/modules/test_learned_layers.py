"""Learned biases before the scale, caches from the start, views of the batch, and one slope for all heads."""

import pytest

from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.learned_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "TableOfWindow": ((), ("position-bias",)),
    "TableOfWindowScaled": (("bias-before-scale",), ("position-bias",)),
    "RotaryCache": ((), ("rope", "causal-unasked")),
    "RotaryCacheFromStart": (("causal-alignment",), ("rope", "causal-unasked")),
    "TimeFirstViewed": (("batch-mixed",), ("tokens-before-batch",)),
    "SequenceFirst": ((), ("tokens-before-batch",)),
    "AlibiOfOneSlope": (("bias-not-broadcast",), ("causal-unasked",)),
    "LearnedDistancesUnscaled": ((), ("unscaled", "position-bias")),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])
