"""Layers with gates, norms inside of attention, convolutions before it, and blocks of tokens."""

import pytest

import headwise as hw
from headwise.errors import DataError

pytest.importorskip("torch")
layers = pytest.importorskip("layers.gated_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "GateOfHeads": ((), ("gated",)),
    "GateBySilu": ((), ("gated",)),
    "GateBySiluNoRoot": (("scale-no-root",), ("gated",)),
    "GateInQueries": ((), ("gated",)),
    "GateInQueriesUnmoved": (("heads-merged-unmoved",), ("gated",)),
    "FourParts": ((), ("gated",)),
    "ClosedGate": ((), ("residual-inside",)),
    "ClosedGateUnscaled": (("scale-missing",), ("residual-inside",)),
    "NormBefore": ((), ("norm-inside", "residual-inside")),
    "NormBeforeUnscaled": (("scale-missing",), ("norm-inside", "residual-inside")),
    "NormOfQueryTokens": ((), ("norm-inside", "residual-inside")),
    "NormOfQueryTokensInverted": (("mask-inverted",), ("norm-inside", "residual-inside")),
    "RareEpsilon": ((), ("norm-inside", "residual-inside")),
    "NormBeforeOutput": ((), ("norm-inside",)),
    "NormOfEachHead": ((), ("norm-inside",)),
    "NormOfEachHeadUnscaled": (("scale-missing",), ("norm-inside",)),
    "NormOfAllQueries": ((), ("qk-norm-of-all-heads",)),
    "NormSaidToBeOfEachHead": (("qk-norm-across-heads",), ()),
    "AfterConvolutions": ((), ()),
    "AfterConvolutionsUnscaled": (("scale-missing",), ()),
    "DropoutWithoutTraining": (("dropout-active",), ("causal-unasked",)),
    "WideHeadsAveraged": (("heads-averaged",), ()),
    "Radius": ((), ("window-built-in",)),
    "RadiusOneLess": (("window-off-by-one",), ("window-built-in",)),
    "InBlocks": ((), ("pattern-built-in",)),
    "InBlocksUnscaled": (("scale-missing",), ("pattern-built-in",)),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_each_layer_has_its_verdict(name):
    mistakes, conventions = VERDICTS[name]
    verdict = hw.check(getattr(layers, name))
    assert verdict.mistakes == mistakes
    assert set(conventions) <= set(verdict.conventions)


def test_a_gate_is_checked_with_its_weights():
    assert hw.check(layers.GateBySilu).untested == ()
    with pytest.raises(DataError, match=r"learns more than the projections of attention: g_proj\.weight"):
        hw.check(layers.GateOfOutput)


def test_kernels_that_pass_one_token_on_are_listed():
    assert "conv_q.weight besides one pixel (zero in this check)" in hw.check(layers.AfterConvolutions).untested


def test_pooled_keys_are_refused_as_such():
    with pytest.raises(DataError, match="it attends to 6 mixtures of the 12 tokens"):
        hw.check(layers.PooledKeys)


def test_positions_are_for_queries_and_keys():
    assert hw.check(layers.AddedPositions).untested == ()
    verdict = hw.check(layers.PositionsInValues)
    assert not verdict.ok
    assert "its values hold the positions too" in " ".join(verdict.notes)
