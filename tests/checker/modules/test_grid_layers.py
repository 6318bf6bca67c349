"""Layers that attend within windows of a grid, or have vectors for distances on it."""

import pytest

from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.grid_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "ShiftedWindows": ((), ("pattern-built-in",)),
    "ShiftedWindowsUnscaled": (("scale-missing",), ("pattern-built-in",)),
    "ShiftedWindowsUnmasked": (("unknown",), ()),
    "DecomposedPositions": ((), ("position-bias",)),
    "DecomposedPositionsOfKeys": (("unknown",), ()),
    "RotaryPatches": ((), ("rope",)),
    "MaskedWindows": ((), ("position-bias",)),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name)(), *VERDICTS[name])
