"""Layers with learned tables of distances, which are zero when they are made."""

import pytest

import headwise as hw

pytest.importorskip("torch")
layers = pytest.importorskip("layers.relative_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and a note
VERDICTS = {
    "Window": ((), ""),
    "WindowStride": (
        ("unknown",),
        "Of relative_position_bias_table (15, 3), only 11 of 15 entries ever change an output.",
    ),
    "Clipped": ((), ""),
    "ClippedUnscaled": (("scale-missing",), ""),
    "ClippedValuesUnused": (("unknown",), "rel_v changes no output."),
    "Skewed": ((), ""),
    "Image": ((), ""),
    "ImageRowsAlone": (("unknown",), "rel_pos_w changes no output."),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    verdict = hw.check(getattr(layers, name))
    mistakes, note = VERDICTS[name]
    assert verdict.mistakes == mistakes
    assert "position-bias" in verdict.conventions
    assert not note or note in verdict.notes
    assert mistakes or not any("zero in this check" in text for text in verdict.untested)
