"""Modules of flax: verdicts and conventions."""

import pytest

import headwise as hw

pytest.importorskip("flax")
layers = pytest.importorskip("layers.flax_layers")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

VERDICTS = {
    "FusedHeads": ((), ()),
    "FusedHeadsUnmoved": (("heads-merged-unmoved",), ()),
    "CompactHeads": ((), ("causal-unasked",)),
    "CompactHeadsUnscaled": (("scale-missing",), ("causal-unasked",)),
    "RotaryAlongHeads": (("rope-axis",), ()),
    "FourLinears": ((), ()),
    "FourLinearsOverHeads": (("softmax-over-heads",), ()),
    "builtin": ((), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_each_module_has_its_verdict(name):
    mistakes, conventions = VERDICTS[name]
    verdict = hw.check(getattr(layers, name))
    assert verdict.mistakes == mistakes
    assert set(conventions) <= set(verdict.conventions)


def test_a_module_computes_in_float32_again_afterwards():
    layer = layers.FourLinears(12, 3, layers.nnx.Rngs(0))
    hw.check(layer)
    assert layer.q.kernel.get_value().dtype == layers.jnp.float32
    assert layer(layers.jnp.ones((2, 6, 12))).dtype == layers.jnp.float32
