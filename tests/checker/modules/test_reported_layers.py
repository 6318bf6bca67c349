"""Attention layers of torch like those of public reports: verdicts and conventions."""

import pytest

import headwise as hw
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.reported_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "PaperMultiQuery": ((), ()),
    "PaperMultiQueryOfModelWidth": (("scale-model-width",), ()),
    "GroupsOfOnnx": ((), ("rope",)),
    "GroupsOfOnnxTiled": (("groups-tiled",), ("rope",)),
    "RowsAndColumns": ((), ("position-bias",)),
    "RowsAndColumnsUnscaled": (("scale-missing",), ("position-bias",)),
    "ClassToken": ((), ("context-and-tokens",)),
    "ClassTokenMultiplied": (("scale-inverted",), ("context-and-tokens",)),
    "HeadsBeforeBatch": (("heads-merged-unmoved",), ()),
    "LatentOfSizes": ((), ("rope", "keys-latent")),
    "TalkingHeads": ((), ()),
    "TalkingHeadsUnscaled": (("scale-missing",), ()),
    "Pixels": ((), ("norm-inside",)),
    "PixelsThemselves": (("values-are-inputs",), ("norm-inside",)),
    "PixelsUnmoved": (("reshaped-not-transposed",), ("norm-inside",)),
    "WindowInWords": ((), ("window-built-in",)),
    "WindowInWordsAndOneMore": (("window-off-by-one",), ("window-built-in",)),
    "WindowUnscaledWithoutOutput": (("output-projection-missing", "scale-missing"), ("window-built-in",)),
    "BothSides": ((), ("window-built-in",)),
    "BothSidesOneLess": (("window-off-by-one",), ("window-built-in",)),
    "Flagged": ((), ()),
    "FlaggedUnscaled": (("unknown",), ()),
    "InputsOfKeysFirst": ((), ()),
    "InputsOfKeysFirstOfModelWidth": (("scale-model-width",), ()),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


def test_what_hides_a_key_of_many_is_found_in_few_calls():
    layers.MaskedGrid.calls = 0
    assert "mask-additive" in hw.check(layers.MaskedGrid(12, 3)).conventions
    assert layers.MaskedGrid.calls < 1200


def test_mixtures_of_heads_are_listed():
    assert "mix_heads_post_attn besides the identity" in " ".join(hw.check(layers.TalkingHeads).untested)
