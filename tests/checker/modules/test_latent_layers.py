"""Layers of torch whose keys and values are made from a latent vector."""

import pytest

import headwise as hw

pytest.importorskip("torch")
layers = pytest.importorskip("layers.latent_layers")
pytestmark = pytest.mark.parity


@pytest.mark.parametrize(("name", "conventions"), [("LatentAttention", set()), ("PaperNames", {"causal-unasked"})])
def test_correct_layers_are_right(name, conventions):
    verdict = hw.check(getattr(layers, name))
    assert verdict.mistakes == ()
    assert conventions | {"keys-latent", "rope"} <= set(verdict.conventions)


def test_an_instance_of_other_widths_is_right():
    assert hw.check(layers.LatentAttention(40, 4, 12, 8, 6, 10)).ok


@pytest.mark.parametrize(
    ("name", "mistake"), [("LatentUnscaled", "scale-missing"), ("PaperNamesTwice", "softmax-twice")]
)
def test_mistakes_are_named(name, mistake):
    assert hw.check(getattr(layers, name)).mistakes == (mistake,)


@pytest.mark.parametrize("name", ["LatentHalfScaled", "LatentUnturnedKey"])
def test_what_no_entry_explains_is_not_right(name):
    assert not hw.check(getattr(layers, name)).ok
