"""Preprocessing of loaded models: texts, images and sentence embeddings; sound is compared in tests/parity."""

import io
import json

import numpy as np
import pytest
from PIL import Image

import headwise as hw
from headwise.errors import CheckpointError, DataError
from headwise.models.preprocess.audio import AudioPreprocessor
from headwise.models.preprocess.images import open_image
from helpers.checkpoints import random_tensors, write_folder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "dog", "sat", "##s", "##ing", "run", "a", ".", "é", "e",
         "x", "y", "z", "w"]  # fmt: skip


def bert(folder, **tokenizer):
    write_folder(folder, "bert", pad_token_id=0)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True} | tokenizer))
    return hw.load(folder)


def test_texts_of_a_vocabulary_file(tmp_path):
    arrays = bert(tmp_path).preprocess(["The cats sat.", "dog"])
    np.testing.assert_array_equal(arrays["input_ids"], [[2, 4, 5, 8, 7, 12, 3], [2, 6, 3, 0, 0, 0, 0]])
    np.testing.assert_array_equal(arrays["attention_mask"], [[1] * 7, [1, 1, 1, 0, 0, 0, 0]])
    assert not arrays["token_type_ids"].any()


def test_texts_that_cannot_be_prepared_are_refused(tmp_path):
    with pytest.raises(DataError, match="pairs: expected 2 texts; got 1"):
        bert(tmp_path).preprocess(["the cat", "a dog"], pairs=["the dog"])
    (tmp_path / "vocab.txt").write_text("the\n[CLS]\n")
    with pytest.raises(CheckpointError, match=r"vocab\.txt: expected the tokens \[SEP\], \[UNK\]"):
        hw.load(tmp_path).preprocess("the cat")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: "):
        hw.load(tmp_path).preprocess("the cat")


def test_inputs_that_are_not_one_text_or_image_are_refused(tmp_path):
    model = bert(tmp_path / "bert")
    for texts in (["the cat", "a dog"], ("the cat", "a dog", "cats")):
        with pytest.raises(DataError, match="text: expected one, or a pair as a tuple; got"):
            model.tokens(texts)
    assert model.tokens(np.array([2, -1, 3])).labels[1] == "-1"
    with pytest.raises(DataError, match="input_ids: expected 0 to"):
        model.look(np.array([2, -1, 3]))
    model = vit(tmp_path / "vit", size={"height": 10, "width": 10}, do_normalize=False)
    with pytest.raises(DataError, match=r"image: expected uint8 .* got float64 of shape \(10, 10, 3\)"):
        model.tokens(np.zeros((10, 10, 3)))
    Image.fromarray(photograph(90, 90)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    with pytest.raises(DataError, match="image: cannot be decoded"):
        model.tokens(Image.open(io.BytesIO(data[: len(data) // 2])))


def test_pairs_have_two_token_types(tmp_path):
    arrays = bert(tmp_path).preprocess("the cat", pairs="a dog")
    np.testing.assert_array_equal(arrays["input_ids"], [[2, 4, 5, 3, 11, 6, 3]])
    np.testing.assert_array_equal(arrays["token_type_ids"], [[0, 0, 0, 0, 1, 1, 1]])


def test_long_texts_are_cut_to_what_the_model_allows(tmp_path):
    for name, length, options in (("a", 23, {}), ("b", 9, {"model_max_length": 9})):
        arrays = bert(tmp_path / name, **options).preprocess("cat " * 50)
        np.testing.assert_array_equal(arrays["input_ids"], [[2, *[5] * (length - 2), 3]])


def test_tokens_have_places_in_the_text(tmp_path):
    text = "The cats sat."
    tokens = bert(tmp_path).tokens(text)
    assert tokens.labels == ("[CLS]", "the", "cat", "##s", "sat", ".", "[SEP]")
    assert [text[a:b] for a, b in tokens.locations[1:-1]] == ["The", "cat", "s", "sat", "."]
    assert tokens.prefix.tolist() == [True] + [False] * 5 + [True]


@pytest.mark.parametrize(
    ("mode", "pooled"),
    [
        ("mean_tokens", lambda h: h.mean(axis=0)),
        ("cls_token", lambda h: h[0]),
        ("max_tokens", lambda h: h.max(axis=0)),
        ("lasttoken", lambda h: h[-1]),
    ],
)
def test_sentence_embeddings(mode, pooled, tmp_path):
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""},
               {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
               {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}]  # fmt: skip
    model = bert(tmp_path)
    with pytest.raises(CheckpointError, match=r"modules\.json"):
        model.encode("a cat")
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_Pooling").mkdir()
    options = {"word_embedding_dimension": 12, f"pooling_mode_{mode}": True, "pooling_mode_other": False}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(options))
    texts = ["the cat sat.", "dog"]
    for embedding, text in zip(model.encode(texts), texts, strict=True):
        expected = pooled(model(**model.preprocess(text)).last_hidden_state[0])
        np.testing.assert_allclose(embedding, expected / np.linalg.norm(expected), rtol=0, atol=1e-12)
    modules.append({"type": "sentence_transformers.models.Dense", "path": "3_Dense"})
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="Dense"):
        model.encode(texts)
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(options | {"pooling_mode_other": True}))
    with pytest.raises(CheckpointError, match="pooling_mode: expected one of"):
        model.encode(texts)


def vit(folder, **options):
    write_folder(folder, "vit", random_tensors("vit", np.float32))
    (folder / "preprocessor_config.json").write_text(json.dumps(options))
    return hw.load(folder)


def photograph(height, width):
    return np.random.default_rng(9).integers(0, 256, (height, width, 3)).astype(np.uint8)


MEAN, STD = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]


def test_images_are_resized_cropped_and_normalised(tmp_path):
    model = vit(tmp_path, do_resize=True, size={"shortest_edge": 13}, resample=3, do_center_crop=True,
                crop_size={"height": 10, "width": 10}, image_mean=MEAN, image_std=STD)  # fmt: skip
    image = photograph(31, 47)
    resized = Image.fromarray(image).resize((19, 13), Image.Resampling.BICUBIC)
    cropped = np.asarray(resized, np.float64)[1:11, 4:14]
    expected = ((cropped / 255 - MEAN) / STD).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(model.preprocess(image)["pixel_values"], expected, rtol=0, atol=1e-5)
    Image.fromarray(image).save(tmp_path / "image.png")
    from_file = model.preprocess(tmp_path / "image.png")["pixel_values"]
    Image.fromarray(image).convert("P").save(tmp_path / "palette.png", transparency=bytes(range(256)))
    model.preprocess(tmp_path / "palette.png")  # without a warning
    np.testing.assert_array_equal(from_file, model.preprocess(Image.fromarray(image))["pixel_values"])
    assert model.preprocess([image, image])["pixel_values"].shape == (2, 3, 10, 10)


def test_images_of_several_sizes_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"images: expected one size after preprocessing; got \(31, 47\), \(20, 30\)"):
        vit(tmp_path, do_resize=False).preprocess([photograph(31, 47), photograph(20, 30)])


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        (np.zeros(900), 8000, "sampling_rate: expected 16000; got 8000"),
        (np.zeros((2, 900)), None, r"sound: expected floats of shape \(samples,\); got float64 of shape \(2, 900\)"),
        (np.zeros(900, np.int16), None, "sound: expected floats .* got int16"),
    ],
)
def test_sounds_of_another_form_are_refused(sound, rate, message):
    with pytest.raises(DataError, match=message):
        AudioPreprocessor(8, 100)(sound, rate)


def test_steps_that_are_switched_off(tmp_path):
    model = vit(tmp_path, do_resize=False, do_rescale=False, do_normalize=False)
    image = photograph(10, 15)
    np.testing.assert_array_equal(model.preprocess(image)["pixel_values"][0], image.transpose(2, 0, 1))


def test_a_model_sees_files_as_viewers_show_them(tmp_path):
    model = vit(tmp_path, do_resize=False, do_rescale=False, do_normalize=False)
    image = photograph(10, 15)

    def seen(name, picture, **options):
        picture.save(tmp_path / name, **options)
        return model.preprocess(tmp_path / name)["pixel_values"][0].transpose(1, 2, 0)

    rotated = Image.Exif()
    rotated[0x0112] = 6  # to be turned by 90° clockwise
    np.testing.assert_array_equal(seen("a.png", Image.fromarray(np.rot90(image)), exif=rotated), image)
    deep = image[..., 0].astype(np.uint16) * 257
    np.testing.assert_array_equal(seen("b.png", Image.fromarray(deep)), image[..., [0, 0, 0]])
    alpha = np.where(np.arange(15) < 7, 0, 255) * np.ones((10, 1))
    cut = np.dstack([image, alpha]).astype(np.uint8)
    on_white = np.where(alpha[..., None] > 0, image, 255)
    np.testing.assert_array_equal(seen("c.png", Image.fromarray(cut)), on_white)
    np.testing.assert_array_equal(model.preprocess(cut)["pixel_values"][0].transpose(1, 2, 0), on_white)
    with pytest.raises(DataError, match="mode 'F'"):
        model.preprocess(Image.fromarray(image[..., 0].astype(np.float32)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is HEIC"),
        (b"%PDF-1.4\n", "it is a drawing"),
        (b'<?xml version="1.0"?>\n<svg width="9" height="9"/>', "it is a drawing"),
        (b"<!DOCTYPE html>\n<p>Not found", "it is text"),
        (b"PK\3\4" + bytes(40), "its format is unknown"),
    ],
)
def test_files_that_are_no_images_are_described(content, message, tmp_path):
    path = tmp_path / "photograph.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as refused:
        open_image(path)
    assert str(refused.value).count("photograph.jpg") == 1


def test_grey_images_become_rgb_and_boxes_are_in_the_images_own_pixels(tmp_path):
    model = vit(tmp_path, size={"height": 10, "width": 10}, image_mean=MEAN, image_std=STD)
    grey = photograph(40, 20)[..., 0]
    pixels = model.preprocess(grey)["pixel_values"][0] * np.reshape(STD, (3, 1, 1)) + np.reshape(MEAN, (3, 1, 1))
    np.testing.assert_allclose(pixels[0], pixels[2], rtol=0, atol=1e-5)
    tokens = model.tokens(grey)
    np.testing.assert_array_equal(tokens.locations[1:], [[0, 0, 20, 10], [0, 10, 20, 10], [20, 0, 20, 10],
                                                         [20, 10, 20, 10]])  # fmt: skip


def test_wrong_inputs_and_unknown_options_are_refused(tmp_path):
    model = vit(tmp_path / "a", size={"height": 10, "width": 10}, image_mean=MEAN, image_std=STD)
    for wrong in (photograph(9, 9) / 255, "no such file.png", 3, np.zeros((3, 9, 9, 3), np.uint8)):
        with pytest.raises(DataError, match=r"image: expected|no such file"):
            model.preprocess(wrong)
    with pytest.raises(CheckpointError, match="do_sharpen"):
        vit(tmp_path / "b", do_sharpen=True).preprocess(photograph(9, 9))
    folder = write_folder(tmp_path / "c", "vit")
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        hw.load(folder).preprocess(photograph(9, 9))
