"""Layers whose names say nothing: their output tells which matrix is whose."""

import pytest

import headwise as hw
from headwise.errors import DataError
from helpers.verdicts import assert_verdict

pytest.importorskip("torch")
layers = pytest.importorskip("layers.unnamed_layers")
pytestmark = pytest.mark.parity


@pytest.mark.parametrize(
    ("name", "mistakes"),
    [
        ("ValuesFirst", ()),
        ("ValuesFirstUnscaled", ("scale-missing",)),
        ("ValuesFirstOverQueries", ("softmax-axis",)),
    ],
)
def test_verdict(name, mistakes):
    assert_verdict(getattr(layers, name), mistakes, ())


@pytest.mark.parametrize("name", ["Perceptron", "GatedPerceptron"])
def test_what_mixes_no_tokens_is_no_attention(name):
    with pytest.raises(DataError, match="depends on no other token"):
        hw.check(getattr(layers, name))
