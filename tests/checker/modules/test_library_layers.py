"""Layers in the ways of libraries; and mistakes next to them."""

import pytest

from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.library_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "NestedProjections": ((), ()),
    "NestedProjectionsUnscaled": (("scale-missing",), ()),
    "UnitVectors": ((), ("qk-norm",)),
    "UnitVectorsUnscaled": (("scale-no-root",), ("qk-norm",)),
    "ProjectedDistances": ((), ("position-bias",)),
    "ProjectedDistancesUnused": (("unknown",), ()),
    "LargeWindow": ((), ("position-bias",)),
    "LargeWindowUnscaled": (("scale-missing",), ("position-bias",)),
    "DefaultType": ((), ()),
    "DefaultTypeUnscaled": (("scale-missing",), ()),
    "Dictionary": ((), ("norm-inside",)),
    "DictionaryUnscaled": (("scale-missing",), ("norm-inside",)),
    "InheritsAxes": ((), ("tokens-before-batch",)),
    "InheritsAxesUnscaled": (("scale-missing",), ("tokens-before-batch",)),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])
