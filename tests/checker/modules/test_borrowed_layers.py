"""Layers as packages have them: what is optional, set by flags or by the configuration."""

import pytest

import headwise as hw
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.borrowed_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "OfTupleOrTokens": ((), ()),
    "FlagOfContext": ((), ()),
    "FlagOfKeys": ((), ()),
    "ContextIgnored": (("context-ignored",), ()),
    "CausalByAttribute": ((), ("causal-unasked",)),
    "NormedHeads": ((), ("qk-norm", "unscaled")),
    "NormedHeadsScale": (("scale-missing",), ("qk-norm",)),
    "ScaleOfOne": ((), ("unscaled",)),
    "CapOfWords": ((), ()),
    "HalfRotated": ((), ("rope",)),
    "Packed": ((), ("rope",)),
    "ColumnsAndResidual": ((), ("tokens-as-columns", "residual-inside")),
    "AddsPositions": ((), ()),
    "AddsPositionsToValues": (("unknown",), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


def test_an_optional_context_of_another_width_is_passed():
    verdict = hw.check(layers.NarrowContext())
    assert verdict.ok
    assert "context" not in verdict.untested


def test_positions_of_a_context_are_tested():
    assert not {"pos", "query_pos"} & set(hw.check(layers.AddsPositions).untested)


def test_windows_that_nothing_explains_are_not_scrambled():
    assert hw.check(layers.OfGrid(24, 3)).mistakes in ((), ("unknown",))
