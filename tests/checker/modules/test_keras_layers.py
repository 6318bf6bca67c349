"""Keras layers, under whatever backend is configured: verdicts and conventions."""

import pytest

import headwise as hw

pytest.importorskip("keras")
layers = pytest.importorskip("layers.keras_layers")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

VERDICTS = {
    "DenseHeads": ((), ()),
    "AsWideAsTokens": ((), ()),
    "DenseHeadsUnscaled": (("scale-missing",), ()),
    "DenseHeadsOverHeads": (("softmax-over-heads",), ()),
    "DenseHeadsUnmoved": (("heads-merged-unmoved",), ()),
    "FoldedHeads": ((), ()),
    "FoldedHeadsOfOtherItems": (("mask-of-another-item",), ()),
    "ValuesFirst": ((), ("mask-hides",)),
    "ValuesFirstNoRoot": (("scale-no-root",), ("mask-hides",)),
    "BuiltWeights": ((), ("causal-unasked",)),
    "builtin": ((), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_each_layer_has_its_verdict(name):
    mistakes, conventions = VERDICTS[name]
    verdict = hw.check(getattr(layers, name))
    assert verdict.mistakes == mistakes
    assert set(conventions) <= set(verdict.conventions)
    assert "dtype-lowered" not in verdict.hazards  # the arithmetic of Keras, not of the layer


def test_a_layer_is_left_as_it_was():
    layer = layers.DenseHeads(12, 3)
    layer.build((2, 6, 12))
    layer(layers.ops.ones((2, 6, 12)))
    before = [layers.ops.convert_to_numpy(w).copy() for w in layer.trainable_weights]
    hw.check(layer)
    after = [layers.ops.convert_to_numpy(w) for w in layer.trainable_weights]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert layers.keras.config.floatx() == "float32"
