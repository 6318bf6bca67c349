"""Layers that hold more than projections: norms, scales, gates, tables, adapters and rotations."""

import pytest

import headwise as hw

pytest.importorskip("torch")
layers = pytest.importorskip("layers.torch_extras")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "ScaledBranch": ((), ("norm-inside", "residual-inside")),
    "WithPositions": ((), ("positions-inside",)),
    "WithPositionsUnscaled": (("scale-missing",), ()),
    "BiasAfterSoftmax": (None, ()),
    "Sinks": ((), ("sinks", "causal-unasked")),
    "SinksUnused": (("unknown",), ("causal-unasked",)),
    "Gated": ((), ("gated",)),
    "Adapted": ((), ()),
    "TwoNorms": ((), ("norm-inside",)),
    "TwoNormsUnscaled": (("scale-missing",), ("norm-inside",)),
    "SetBlock": ((), ("set-block",)),
    "SetBlockModelWidth": (("scale-model-width",), ("set-block",)),
    "Rotary": ((), ("rope", "qk-norm", "causal-unasked")),
    "RotaryTiled": (("groups-tiled",), ("rope", "qk-norm", "causal-unasked")),
    "RotaryAlongHeads": (("rope-axis",), ()),
    "ComplexAlongHeads": (("rope-axis",), ()),
    "MaskInverted": (("mask-inverted",), ()),
    "CausalMaskInverted": (("mask-inverted",), ("causal-unasked",)),
    "SameSlice": (("heads-share-matrices",), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_each_layer_has_its_verdict(name):
    mistakes, conventions = VERDICTS[name]
    verdict = hw.check(getattr(layers, name))
    assert (not verdict.ok) if mistakes is None else verdict.mistakes == mistakes
    assert set(conventions) <= set(verdict.conventions)


def test_what_stays_zero_during_a_check_is_reported():
    assert "to_q.lora_a (zero in this check)" in hw.check(layers.Adapted).untested
    assert hw.check(layers.Sinks).untested == ()


def test_numbers_made_in_float32_lower_nothing():
    assert hw.check(layers.Rotary).hazards == ()


def test_the_line_of_a_mistake_is_in_the_class_that_has_it():
    (location,) = hw.check(layers.TwoNormsUnscaled).locations
    assert location.text == "return q @ k.mT"
