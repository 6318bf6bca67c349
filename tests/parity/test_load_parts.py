"""Parts of loaded models against torch and transformers: towers, interpolation, preprocessing, attention sinks."""

import numpy as np
import pytest

import headwise as hw
from headwise.errors import CheckpointError, DataError
from headwise.models.encoder import AttentionOptions
from headwise.models.encoder.attention import AttentionContext, attention_layer_backward, attention_layer_forward
from headwise.models.encoder.positions import resample_backward, resample_forward
from headwise.models.preprocess.audio import AudioPreprocessor
from helpers.pretrained import IMAGE, TEXT

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="transformers builds the models to compare with: make parity")
pytestmark = pytest.mark.parity


@pytest.mark.parametrize("family", ["CLIP", "Siglip"])
def test_two_towers(family, tmp_path):
    torch.manual_seed(2)
    text = TEXT | {"max_position_embeddings": 31, "eos_token_id": 47}
    options = {"projection_dim": 13} if family == "CLIP" else {}
    config = getattr(transformers, f"{family}Config")(text_config=text, vision_config=IMAGE, **options)
    reference = getattr(transformers, f"{family}Model")(config).eval().double()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if "logit" in name:
                parameter.fill_(0.7)
            elif "norm" not in name:
                parameter.copy_(torch.randn_like(parameter) / 5)
    reference.save_pretrained(tmp_path)
    rng = np.random.default_rng(6)
    pixels, ids = rng.normal(size=(3, 3, 35, 35)), rng.integers(3, 47, (2, 11))
    ids[:, 7] = 47
    theirs = reference(input_ids=torch.from_numpy(ids), pixel_values=torch.from_numpy(pixels))
    model = hw.load(tmp_path)
    with pytest.raises(DataError, match="expected pixel_values, input_ids or both; got none of them"):
        model.forward()
    for name in ("tokens", "predict"):
        with pytest.raises(DataError, match=f"{name}: "):
            getattr(model, name)(pixels)
    ours, cache = model.forward(input_ids=ids, pixel_values=pixels)
    with pytest.raises(DataError, match="gradients: odd: not an output of both towers"):
        model.backward({"odd": pixels}, cache)
    douts = {}
    for name in ("image_embeds", "text_embeds", "logits_per_image", "logits_per_text"):
        np.testing.assert_allclose(ours[name], theirs[name].detach(), rtol=0, atol=1e-9, err_msg=name)
        douts[name] = rng.normal(size=ours[name].shape)
    sum((theirs[name] * torch.from_numpy(array)).sum() for name, array in douts.items()).backward()
    grads = model.backward(douts, cache)
    parameters = dict(reference.named_parameters())
    assert grads.tensors.keys() == parameters.keys()
    for name, gradient in grads.tensors.items():
        np.testing.assert_allclose(gradient, parameters[name].grad, rtol=0, atol=1e-6, err_msg=name)
    alone = model(pixel_values=pixels)
    np.testing.assert_array_equal(alone.last_hidden_state, ours.vision_model_output.last_hidden_state)
    layers = hw.capture(model, input_ids=ids, pixel_values=pixels).layers
    assert len(layers) == 6 + (family == "Siglip")


@pytest.mark.parametrize("size", [(5, 7), (11, 3), (7, 9), (4, 20), (1, 2)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bicubic_antialias", "bicubic_offset"])
def test_interpolation(size, interpolation):
    rng = np.random.default_rng(8)
    grid, dy = rng.normal(size=(7, 5, 3)), rng.normal(size=(*size, 3))
    old = torch.from_numpy(grid).permute(2, 0, 1)[None].requires_grad_()
    if interpolation == "bicubic_offset":
        scale = ((size[0] + 0.1) / 7, (size[1] + 0.1) / 5)
        new = torch.nn.functional.interpolate(old, scale_factor=scale, mode="bicubic")
    else:
        new = torch.nn.functional.interpolate(old, size=size, mode="bicubic", antialias="antialias" in interpolation)
    expected = new[0].permute(1, 2, 0)
    assert expected.shape == dy.shape
    np.testing.assert_allclose(resample_forward(grid, size, interpolation), expected.detach(), rtol=0, atol=1e-12)
    (expected * torch.from_numpy(dy)).sum().backward()
    gradient = resample_backward(dy, (7, 5), interpolation)
    np.testing.assert_allclose(gradient, old.grad[0].permute(1, 2, 0), rtol=0, atol=1e-12)


def test_log_mel_spectrograms():
    sound = (0.3 * np.random.default_rng(1).normal(size=20000)).astype(np.float32)
    for bins, seconds in ((80, 2), (128, 1)):
        extractor = transformers.WhisperFeatureExtractor(feature_size=bins, chunk_length=seconds)
        expected = extractor(sound, sampling_rate=16000, return_tensors="np").input_features
        ours = AudioPreprocessor(bins, 100 * seconds)(sound, sampling_rate=16000)["input_features"]
        assert ours.shape == expected.shape
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["ViTImageProcessor", "CLIPImageProcessor"])
def test_image_processors(kind, tmp_path):
    size = {"height": 35, "width": 35} if kind.startswith("ViT") else {"shortest_edge": 35}
    processor = getattr(transformers, f"{kind}Pil", getattr(transformers, kind))(size=size, crop_size=35)
    processor.save_pretrained(tmp_path)
    image = np.random.default_rng(3).integers(0, 256, (61, 83, 3)).astype(np.uint8)
    expected = np.asarray(processor(image, return_tensors="np")["pixel_values"])
    config = transformers.ViTConfig(**IMAGE)
    transformers.ViTModel(config).save_pretrained(tmp_path)
    ours = hw.load(tmp_path).preprocess(image)["pixel_values"]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=0.02)  # a step of one in 255


def test_a_layer_with_sinks():
    rng = np.random.default_rng(4)
    heads, width, n = 3, 12, 7
    x, dy = rng.normal(size=(2, 2, n, width))
    params = {f"{name}.weight": rng.normal(size=(width, width)) for name in ("query", "key", "value", "output")}
    params["sinks"] = rng.normal(size=heads)
    leaves = {name: torch.from_numpy(array).requires_grad_() for name, array in (params | {"x": x}).items()}
    q, k, v = (
        (leaves["x"] @ leaves[f"{name}.weight"].T).reshape(2, n, heads, -1).transpose(1, 2)
        for name in ("query", "key", "value")
    )
    logits = torch.cat([q @ k.mT / 2, leaves["sinks"].reshape(1, heads, 1, 1).expand(2, heads, n, 1)], dim=-1)
    o = logits.softmax(-1)[..., :-1] @ v
    expected = o.transpose(1, 2).reshape(2, n, width) @ leaves["output.weight"].T
    y, cache = attention_layer_forward(x, params, AttentionOptions(heads, heads), AttentionContext())
    np.testing.assert_allclose(y, expected.detach(), rtol=0, atol=1e-12)
    (expected * torch.from_numpy(dy)).sum().backward()
    dx, grads, _ = attention_layer_backward(dy, cache)
    np.testing.assert_allclose(dx, leaves["x"].grad, rtol=0, atol=1e-11)
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, leaves[name].grad, rtol=0, atol=1e-11, err_msg=name)


def test_an_option_that_transformers_reads_and_does_not_use_is_refused(tmp_path):
    sizes = {**TEXT, "num_key_value_heads": 1, "head_dim": 8, "attn_logit_softcapping": 30.0}
    transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**sizes)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"attn_logit_softcapping: only None can be loaded; got 30\.0"):
        hw.load(tmp_path)
