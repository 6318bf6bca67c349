"""What is no softmax attention between tokens is not called wrong: the kind of attention that it is is stated."""

import pytest

import headwise as hw
from headwise.checker.detection.calling_conventions import conventions_of_target
from headwise.checker.measurement.other_kinds import other_kind
from headwise.checker.modules import find_targets
from headwise.checker.reference.conventions import Requirements
from headwise.errors import DataError

pytest.importorskip("torch")
layers = pytest.importorskip("layers.other_kinds")
public = pytest.importorskip("layers.public_layers")
pytestmark = pytest.mark.parity

KINDS = {"LinearAttention": "linear", "ChannelAttention": "channel", "DifferentialAttention": "differential"}


def kind_of(cls):
    target = find_targets(cls)[0]
    return other_kind(conventions_of_target(target, "auto", Requirements())[0][0])


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_the_kind_is_stated(name, kind):
    assert f"{kind} attention" in kind_of(getattr(layers, name))


def test_the_factor_of_the_second_softmax_is_measured():
    assert "less 0.3 times" in kind_of(layers.DifferentialAttention)


@pytest.mark.parametrize("name", ["ClassUnscaled", "Softcapped", "PlanePositions", "CosineAttention"])
def test_softmax_attention_is_of_no_other_kind(name):
    assert kind_of(getattr(public, name)) == ""


def test_equal_weights_are_of_no_other_kind():
    assert kind_of(layers.Uniform) == ""


def test_tokens_that_attend_to_themselves_alone_are_of_no_other_kind():
    assert kind_of(layers.FramesUnmoved) == ""
    assert not hw.check(layers.FramesUnmoved).ok


def test_the_check_refuses_with_the_kind():
    with pytest.raises(DataError, match="ChannelAttention: it attends between the features"):
        hw.check(layers.ChannelAttention)


def test_a_table_without_which_no_token_attends_to_another_is_refused():
    with pytest.raises(DataError, match="learns more than the projections of attention: mix"):
        hw.check(layers.ProjectedKeys)
