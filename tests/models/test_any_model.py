"""`open_model` on what needs no other framework: paths, loaded models, this package's own models."""

from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest

import headwise as hw
from headwise.errors import DataError
from headwise.models import Model, Tokens, ViT, find_model, open_model
from headwise.train.checkpoint import pretrained_vit
from helpers.checkpoints import write_folder, write_image_model


def test_what_is_a_model(tmp_path):
    folder = write_folder(tmp_path / "bert", "bert")
    loaded = hw.load(folder)
    assert open_model(loaded) is loaded
    assert isinstance(open_model(str(folder)), Model)
    own = open_model(files("headwise.models") / "weights" / "vit-mnist-7x7.safetensors")
    assert own.tokens(np.zeros((28, 28), np.uint8)).labels[:3] == ("[CLS]", "1,1", "1,2")
    checkpoint = pretrained_vit()
    adapted = open_model(checkpoint)
    assert isinstance(adapted, ViT)
    assert open_model(adapted) is adapted
    (tmp_path / "mine.py").write_text(f"import headwise\nmodel = headwise.load({str(folder)!r})\n")
    assert find_model(f"{tmp_path / 'mine.py'}:model").family == "bert"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nowhere", "there is no such file or folder"),
        (SimpleNamespace(config=1), "model: expected a path"),
        (object(), "got object"),
    ],
)
def test_what_is_none(model, message):
    with pytest.raises(DataError, match=message):
        open_model(model)


def test_options_of_other_frameworks_are_refused(tmp_path):
    with pytest.raises(DataError, match="tokenizer: only torch modules and"):
        open_model(write_folder(tmp_path, "bert"), tokenizer=str.split)


def test_what_is_no_model_is_not_blamed_on_an_option():
    with pytest.raises(DataError, match=r"model: expected a path .* got function"):
        open_model(lambda x: x, preprocess=np.asarray)


def test_reasons_and_labels_of_loaded_models(tmp_path):
    model = open_model(write_folder(tmp_path / "bert", "bert"))
    assert model.tokens(np.array([3, 7, 11])).labels == ("3", "7", "11")
    mask = {"input_ids": np.array([[3, 7, 11, 2]]), "attention_mask": np.array([[1, 1, 1, 0]])}
    keep = np.array([[True, True, False, True]])
    np.testing.assert_allclose(model.predict(mask, keep)[0], model.predict({"input_ids": mask["input_ids"][:, :2]}))
    image = np.random.default_rng(0).normal(size=(3, 10, 10))
    vit = open_model(write_folder(tmp_path / "vit", "vit"))
    tokens = vit.tokens(image)
    assert (tokens.grid, tokens.labels) == ((2, 2), ("[CLS]", "1,1", "1,2", "2,1", "2,2"))
    np.testing.assert_array_equal(vit.predict(image), vit.predict({"pixel_values": image[None]}))


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 40)])
def test_an_image_with_fewer_pixels_than_patches_is_explained(size, tmp_path):
    model = hw.load(write_image_model(tmp_path))
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    tokens = model.tokens(image)
    assert tokens.grid == (2, 2)
    top, left, height, width = tokens.locations[~tokens.prefix].T
    assert ((height >= 1) & (width >= 1) & (top + height <= size[0]) & (left + width <= size[1])).all()
    record = hw.explain(model, image, test=False).record
    assert record.image.shape[:2] == (10, 10)
    assert len(np.unique(record.boxes, axis=0)) == 4


def test_tokens_describe_a_grid_only_if_they_are_one():
    boxes = np.array([[0, 0, 0, 0], [0, 0, 2, 2], [0, 2, 2, 2], [2, 0, 2, 2], [2, 2, 2, 2]])
    prefix = np.arange(5) == 0
    assert Tokens("image", boxes, prefix).grid == (2, 2)
    assert Tokens("image", boxes[[0, 2, 1, 3, 4]], prefix).grid is None
    assert Tokens("image", boxes[:4], prefix[:4]).grid is None
    assert Tokens("series", boxes[:, :2], prefix).grid is None
