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
    "WindowStrideOfFourHeads": (
        ("unknown",),
        "Of relative_position_bias_table (35, 4), only 27 of 35 entries ever change an output.",
    ),
    "Clipped": ((), ""),
    "ClippedBias": ((), ""),
    "ClippedBiasByOneMore": (("unknown",), "Of rel_bias (3, 7), the entry at one end never changes an output."),
    "ClippedUnscaled": (("scale-missing",), ""),
    "ClippedValuesUnused": (("unknown",), "rel_v changes no output."),
    "ClippedOfKeys": (("unknown",), "The products of rel_k are with the keys alone, and not with the queries."),
    "ClippedOfOtherQueries": (
        ("unknown",),
        "The products of rel_k and rel_v are not with the query of the token that attends.",
    ),
    "ClippedFolded": (("unknown",), "rel_k is the same for keys before and after a query, and half of it has no use."),
    "ClippedByPlace": (
        ("unknown",),
        "The logits with rel_k and rel_v differ between pairs of tokens at the same distance.",
    ),
    "Skewed": ((), ""),
    "SkewedBare": ((), ""),
    "Backward": ((), ""),
    "BackwardOfOtherQueries": (
        ("unknown",),
        "The products of Er are not with the query of the token that attends.",
    ),
    "Image": ((), ""),
    "ProjectedPositionsBeforeOnly": (
        ("unknown",),
        "The products of pos_bias_v and linear_pos.weight are not with the query of the token that attends.",
    ),
    "Volume": ((), ""),
    "VolumeStride": (
        ("unknown",),
        "Of relative_position_bias_table (45, 4), only 31 of 45 entries ever change an output.",
    ),
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


def test_projections_of_positions_that_no_design_explains_are_listed():
    verdict = hw.check(layers.ProjectedPositions)
    assert verdict.ok
    assert "linear_pos.weight (zero in this check)" in verdict.untested


def test_a_layer_that_gates_a_bias_has_no_effect_by_itself():
    assert hw.check(layers.GatedBias).ok
    assert "rel_embed.weight changes no output." in hw.check(layers.GatedBiasUnused).notes
