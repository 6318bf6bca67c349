"""Two models on one input: each planted mistake of a port is located and named."""

import json

import numpy as np
import pytest

import headwise as hw
from headwise.models import open_model
from headwise.models.comparison import compare_models
from helpers.commands import headwise

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="transformers builds the models to compare: make parity")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

SIZES = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 37}
IDS = {"input_ids": np.array([[5, 11, 7, 3, 29, 13, 17]])}


def randomised(model):
    """Parameters large enough that every part of the model matters."""
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 or "norm" not in name.lower():
                parameter.copy_(torch.randn_like(parameter) / 4)
    return model.eval()


def bert(**options):
    return randomised(transformers.BertModel(transformers.BertConfig(**SIZES, vocab_size=50, **options)))


def llama(**options):
    config = transformers.LlamaConfig(**SIZES, num_key_value_heads=2, vocab_size=50, **options)
    config._attn_implementation = "eager"
    return randomised(transformers.LlamaForCausalLM(config))


def dinov2(**options):
    config = {"image_size": 35, "patch_size": 7} | SIZES | options
    return randomised(transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**config)))


def compare(theirs, right, tmp_path, input=None):
    right.save_pretrained(tmp_path)
    return compare_models(open_model(theirs), hw.load(tmp_path), input)


def test_equal_models(tmp_path):
    for i, model in enumerate((bert(), llama(), dinov2())):
        found = compare(model, model, tmp_path / str(i))
        assert found.same, found.text


@pytest.mark.parametrize(
    ("make", "wrong", "code", "part"),
    [
        (bert, {"hidden_act": "gelu_new"}, "activation", "values"),
        (bert, {"layer_norm_eps": 1e-3}, "norm-epsilon", "values"),
        (llama, {"rms_norm_eps": 1e-3}, "norm-epsilon", "values"),
        (llama, {"rope_theta": 500000.0}, "rope-base", "weights"),
    ],
)
def test_options(make, wrong, code, part, tmp_path):
    found = compare(make(**wrong), make(), tmp_path, IDS)
    assert (found.same, found.codes) == (False, (code,)), found.text
    assert found.part == part
    assert "explains the whole difference" in found.text


def test_transposed_matrices(tmp_path):
    right = randomised(
        transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=24, n_layer=2, n_head=4, vocab_size=50))
    )
    right.save_pretrained(tmp_path)
    for block in right.transformer.h:
        block.attn.c_proj.weight.data = block.attn.c_proj.weight.data.T.clone()
    found = compare_models(open_model(right), hw.load(tmp_path), IDS)
    assert found.codes == ("weights-transposed",), found.text
    assert (found.layer, found.part) == (1, "values")


def test_pairs_of_the_rotary_embedding(tmp_path, monkeypatch):
    from transformers.models.llama import modeling_llama

    def neighbours(q, k, cos, sin, unsqueeze_dim=1):
        def rotate(x):
            half = x.shape[-1] // 2
            c, s = cos[:, None, :, :half], sin[:, None, :, :half]
            even, odd = x[..., ::2], x[..., 1::2]
            return torch.stack([even * c - odd * s, even * s + odd * c], -1).flatten(-2)

        return rotate(q), rotate(k)

    model = llama()
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", neighbours)
    found = compare(model, model, tmp_path, IDS)
    assert (found.layer, found.part, found.codes) == (0, "weights", ("rope-layout",)), found.text


def test_tiled_key_heads(tmp_path, monkeypatch):
    from transformers.models.llama import modeling_llama

    model = llama()
    monkeypatch.setattr(modeling_llama, "repeat_kv", lambda x, times: x.repeat(1, times, 1, 1))
    found = compare(model, model, tmp_path, IDS)
    assert found.codes == ("groups-tiled",), found.text


class Moved(torch.nn.Module):
    """Positions that start at one."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        return self.model(input_ids, position_ids=torch.arange(1, input_ids.shape[1] + 1)[None])


def test_position_offset(tmp_path):
    right = bert()
    right.save_pretrained(tmp_path)
    found = compare_models(open_model(Moved(right).eval()), hw.load(tmp_path), IDS)
    assert (found.layer, found.codes) == (0, ("position-offset",)), found.text


def test_interpolation(tmp_path):
    model = dinov2()
    model.save_pretrained(tmp_path)
    pixels = {"pixel_values": np.random.default_rng(0).normal(size=(1, 3, 49, 28))}
    wrong = hw.load(tmp_path, interpolation="bicubic")
    found = compare_models(open_model(model), wrong, pixels)
    assert (found.layer, found.codes) == (0, ("position-interpolation",)), found.text
    assert "bicubic_antialias instead of bicubic" in found.text


def test_order_of_prefix_tokens(tmp_path, monkeypatch):
    from transformers.models.dinov2_with_registers import modeling_dinov2_with_registers as modeling

    def forward(self, pixel_values, bool_masked_pos=None):
        x = self.patch_embeddings(pixel_values)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        tokens = tokens + self.interpolate_pos_encoding(tokens, *pixel_values.shape[2:])
        return torch.cat([self.register_tokens.expand(len(x), -1, -1), tokens], 1)

    model = dinov2()
    monkeypatch.setattr(modeling.Dinov2WithRegistersEmbeddings, "forward", forward)
    found = compare(model, model, tmp_path)
    assert (found.layer, found.codes) == (0, ("prefix-order",)), found.text


def test_missing_layer_scale(tmp_path):
    right = dinov2()
    right.save_pretrained(tmp_path)
    for name, parameter in right.named_parameters():
        if "layer_scale" in name:
            parameter.data.fill_(1)
    found = compare_models(open_model(right), hw.load(tmp_path))
    assert (found.layer, found.part, found.codes) == (1, "values", ("layer-scale-missing",)), found.text


@pytest.mark.parametrize(
    ("mean", "bgr", "words"),
    [((0.5, 0.5, 0.5), False, "0.5 for every channel"), ((0.485, 0.456, 0.406), True, "order BGR")],
)
def test_preprocessing(mean, bgr, words, tmp_path):
    right = dinov2()
    right.save_pretrained(tmp_path)
    std = (0.229, 0.224, 0.225)
    options = {"size": {"height": 35, "width": 35}, "image_mean": (0.485, 0.456, 0.406), "image_std": std}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(options))

    def prepare(image):
        pixels = np.asarray(image.resize((35, 35), 2), np.float32)[..., :: -1 if bgr else 1] / 255
        return ((pixels - mean) / ((0.5, 0.5, 0.5) if mean[0] == 0.5 else std)).transpose(2, 0, 1).astype(np.float32)

    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    found = compare_models(open_model(right, preprocess=prepare), hw.load(tmp_path), photo)
    assert (found.part, found.codes) == ("input", ("preprocessing",)), found.text
    assert words in found.text


def test_two_mistakes(tmp_path):
    found = compare(bert(hidden_act="relu", layer_norm_eps=1e-3), bert(), tmp_path, IDS)
    assert sorted(found.codes) == ["activation", "norm-epsilon"], found.text


def test_another_difference_is_located_only(tmp_path):
    right = bert()
    right.save_pretrained(tmp_path)
    right.encoder.layer[1].intermediate.dense.weight.data.mul_(1.5)
    found = compare_models(open_model(right), hw.load(tmp_path), IDS)
    assert (found.layer, found.part, found.codes) == (2, "values", ()), found.text
    assert "No mistake that is known here" in found.text


def test_command(tmp_path):
    bert().save_pretrained(tmp_path / "right")
    (tmp_path / "wrong").mkdir()
    for file in (tmp_path / "right").iterdir():
        (tmp_path / "wrong" / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "wrong" / "config.json").read_text())
    (tmp_path / "wrong" / "config.json").write_text(json.dumps(config | {"hidden_act": "quick_gelu"}))
    same = headwise("diff", "right", "right", folder=tmp_path)
    assert (same.returncode, "They agree" in same.stdout) == (0, True)
    found = headwise("diff", "wrong", "right", folder=tmp_path)
    assert found.returncode == 1
    assert "layer 1" in found.stdout
    assert "activation: the MLP's activation is" in found.stdout
