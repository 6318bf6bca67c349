"""Loaded models under the Model protocol, against this package's own vision transformer and against shorter texts."""

from importlib.resources import files

import numpy as np
import pytest

import headwise as hw
from headwise.errors import CheckpointError, DataError, ShapeError
from headwise.models import Model, ViT
from headwise.train.checkpoint import pretrained_vit, save_arrays
from helpers.checkpoints import write_folder

IDS = np.array([[3, 7, 11, 2, 5]])


def digit(rng):
    return (255 * rng.random((28, 28)) ** 3).astype(np.uint8)


@pytest.mark.parametrize("tokenizer", ["7x7", "4x4", "rows"])
def test_a_checkpoint_of_this_package(tokenizer, rng):
    own = pretrained_vit(tokenizer)
    peer = ViT(own.config, own.params)
    model = hw.load(str(files("headwise.models") / "weights" / f"vit-mnist-{tokenizer}.safetensors"))
    assert isinstance(model, Model)
    image = digit(rng)
    pixels = image.astype(np.float32) / np.float32(255)

    tokens, expected = model.tokens(image), peer.tokens(pixels)
    np.testing.assert_array_equal(tokens.locations, expected.locations)
    np.testing.assert_array_equal(tokens.prefix, expected.prefix)
    np.testing.assert_allclose(model.predict(image), peer.predict(pixels), rtol=0, atol=1e-4)
    np.testing.assert_allclose(model.look(image).weights(), peer.look(pixels).weights(), rtol=0, atol=1e-5)
    keep = rng.random((19, len(tokens))) < 0.5
    np.testing.assert_allclose(model.predict(image, keep), peer.predict(pixels, keep), rtol=0, atol=1e-4)
    for ours, theirs in zip(model.gradients(image, 3), peer.gradients(pixels, 3), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_other_files_are_no_models(tmp_path):
    save_arrays(tmp_path / "other.safetensors", {"a": np.zeros(3)}, {"kind": "series", "config": {}})
    with pytest.raises(CheckpointError, match="series"):
        hw.load(tmp_path / "other.safetensors")
    folder = write_folder(tmp_path / "folder", "bert")
    with pytest.raises(CheckpointError, match="folder"):
        hw.load(folder / "model.safetensors")


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_hidden_tokens_have_no_influence(family, tmp_path):
    model = hw.load(write_folder(tmp_path, family))
    keep = np.array([[True, True, False, True, False], [True, True, True, True, True]])
    scores = model.predict({"input_ids": IDS}, keep)
    changed = IDS.copy()
    changed[0, [2, 4]] = 17
    np.testing.assert_allclose(model.predict({"input_ids": changed}, keep)[0], scores[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores[1], model.predict({"input_ids": IDS}), rtol=0, atol=1e-12)
    prefix = np.array([[True, True, True, False, False]])
    np.testing.assert_allclose(
        model.predict({"input_ids": IDS}, prefix)[0], model.predict({"input_ids": IDS[:, :3]}), rtol=0, atol=1e-12
    )


def test_gradients_of_a_score_are_those_of_the_weights(tmp_path):
    """To first order, scaling every weight by 1 + ε scales the last layer's output: a check in one direction."""
    model = hw.load(write_folder(tmp_path, "vit"))
    pixels = np.random.default_rng(2).normal(size=(1, 3, 10, 10))
    gradients = model.gradients({"pixel_values": pixels}, 2)
    weights = model.look({"pixel_values": pixels}).weights()[0]
    assert [gradient.shape for gradient in gradients] == [(1, 3, 5, 5)] * 2
    params = dict(model.params)
    name, step = "blocks.1.attention.value", 1e-6
    sides = []
    for sign in (1, -1):  # o = p v: scaling the values is scaling the weights
        for part in ("weight", "bias"):
            model.params[f"{name}.{part}"] = params[f"{name}.{part}"] * (1 + sign * step)
        sides.append(model.predict({"pixel_values": pixels})[2])
    expected = (sides[0] - sides[1]) / (2 * step)
    assert float((gradients[1][0] * weights[1]).sum()) == pytest.approx(expected, rel=1e-6)


def test_inputs_of_the_protocol_are_checked(tmp_path):
    model = hw.load(write_folder(tmp_path / "bert", "bert"))
    assert model.capabilities == {"tokens", "look", "predict", "gradients"}
    with pytest.raises(ShapeError, match="one item"):
        model.look({"input_ids": np.repeat(IDS, 2, axis=0)})
    with pytest.raises(ShapeError, match="keep"):
        model.predict({"input_ids": IDS}, np.ones((2, 3), bool))
    with pytest.raises(DataError, match="target"):
        model.gradients({"input_ids": IDS}, 5)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        model.tokens("a text")
