"""Attention layers of torch in the styles of public repositories: verdicts and conventions."""

import numpy as np
import pytest

import headwise as hw
from headwise.errors import DataError
from helpers.verdicts import assert_verdict

torch = pytest.importorskip("torch")
layers = pytest.importorskip("layers.public_layers")
pytestmark = pytest.mark.parity

# class: its mistakes, and conventions among others
VERDICTS = {
    "ClassAttention": ((), ()),
    "ClassUnscaled": (("scale-missing",), ()),
    "HalfAngles": ((), ("rope",)),
    "PlanePositions": ((), ("rope",)),
    "PlaneUnscaled": (("scale-missing",), ("rope",)),
    "NormsOfAllHeads": ((), ("qk-norm-of-all-heads",)),
    "PastKeys": ((), ("causal-unasked",)),
    "PastUnaligned": (("causal-alignment",), ("causal-unasked",)),
    "WithLogits": ((), ("mask-additive",)),
    "AsWeights": (("weights-before-softmax",), ("mask-additive",)),
    "StrictMask": ((), ("mask-additive",)),
    "DecoderLayer": ((), ("tokens-before-batch", "norm-inside", "residual-inside")),
    "EvalReturnsNothing": ((), ()),
    "ImageToPixels": (("softmax-axis",), ()),
    "Softcapped": ((), ("softcap-built-in",)),
    "SoftcappedUnscaled": (("scale-missing",), ("softcap-built-in",)),
    "Configured": ((), ()),
    "SidesOfImage": ((), ()),
    "OneMatrix": ((), ("residual-inside",)),
    "OneMatrixOverQueries": (("softmax-axis",), ("residual-inside",)),
    "CosineAttention": ((), ("qk-norm", "scale-learned")),
    "Packed": ((), ("tokens-before-heads",)),
    "PackedNoRoot": (("scale-no-root",), ("tokens-before-heads",)),
    "DropoutAndMask": (("dropout-active",), ("mask-additive",)),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name):
    assert_verdict(getattr(layers, name), *VERDICTS[name])


@pytest.mark.parametrize(
    "name", ["PlaneOfQueries", "PlaneBroken", "CosineOverQueries", "CosineScaledTwice", "OtherValues"]
)
def test_what_nothing_explains_is_not_right(name):
    assert not hw.check(getattr(layers, name)).ok


def test_it_is_said_that_only_the_first_token_asks():
    assert "queries of the first token alone" in hw.check(layers.ClassAttention).phrases


def test_a_cache_is_tested():
    assert not {"past_k", "past_v"} & set(hw.check(layers.PastKeys).untested)


def test_what_learns_more_than_attention_is_refused_with_its_name():
    with pytest.raises(DataError, match=r"learns more than the projections of attention: sr\.weight, sr\.bias"):
        hw.check(layers.Reduced)


def test_the_adapter_of_a_refusal_works_once_it_is_filled_in():
    with pytest.raises(DataError) as error:
        hw.check(layers.WithTask)
    _, _, skeleton = str(error.value).partition("starting from\n\n")
    names = {"np": np, "torch": torch}
    exec("\n".join(line[4:] for line in skeleton.splitlines()).replace("...", "lambda p: p"), names)
    assert hw.check(layers.WithTask(12, 3).double(), adapter=names["adapter"]).mistakes == ()
