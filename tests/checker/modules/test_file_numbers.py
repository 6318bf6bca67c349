"""Numbers of heads that are variables of the file."""

import pytest

import headwise as hw

pytest.importorskip("torch")
layers = pytest.importorskip("layers.file_numbers_layers")
pytestmark = pytest.mark.parity


def test_methods_read_the_number_of_heads_from_the_file():
    verdict = hw.check(layers.SizesOfFile)
    assert verdict.ok
    assert "3 heads" in verdict.report()


def test_a_mistake_next_to_them_is_named():
    assert hw.check(layers.SizesOfFileModelWidth).mistakes == ("scale-model-width",)


def test_heads_are_made_as_wide_together_as_the_file_says():
    assert hw.check(layers.HeadsAsWideAsFile).ok
    assert hw.check(layers.HeadsAsWideAsFileModelWidth).mistakes == ("scale-model-width",)
