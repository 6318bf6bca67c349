"""Loading checkpoints: what is read, what is refused, and exact gradients; families are compared in tests/parity."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import headwise as hw
from headwise.attribution import attribute, differentiable
from headwise.errors import CheckpointError, DataError, MaskError, ShapeError
from helpers.checkpoints import random_tensors, write_folder

IDS = np.array([[3, 7, 11, 2, 5], [1, 13, 17, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def arrays(family):
    if family == "vit":
        return {"pixel_values": np.random.default_rng(5).normal(size=(2, 3, 10, 15))}
    return {"input_ids": IDS, "attention_mask": MASK}


def rms_norm(x, gain):
    return x / np.sqrt(np.mean(x * x) + 1e-5) * gain


def llama_by_loops(ids, t):
    """Logits of one text, a token and a head at a time."""
    x = [t["model.embed_tokens.weight"][i] for i in ids]
    for layer in ("model.layers.0.", "model.layers.1."):
        w = {name.removeprefix(layer): a for name, a in t.items() if name.startswith(layer)}
        h = [rms_norm(row, w["input_layernorm.weight"]) for row in x]

        def rotated(vector, position):
            out = vector.copy()
            for i in range(2):
                angle = position * 10000.0 ** (-i / 2)
                a, b = vector[i], vector[i + 2]
                out[i] = a * np.cos(angle) - b * np.sin(angle)
                out[i + 2] = b * np.cos(angle) + a * np.sin(angle)
            return out

        keys = [rotated(w["self_attn.k_proj.weight"] @ row, n) for n, row in enumerate(h)]
        values = [w["self_attn.v_proj.weight"] @ row for row in h]
        for n, row in enumerate(h):
            queries = (w["self_attn.q_proj.weight"] @ row).reshape(2, 4)
            heads = []
            for query in queries:
                s = np.array([rotated(query, n) @ keys[m] / 2 for m in range(n + 1)])
                p = np.exp(s - s.max())
                heads.append(sum(p[m] * values[m] for m in range(n + 1)) / p.sum())
            x[n] = x[n] + w["self_attn.o_proj.weight"] @ np.concatenate(heads)
        for n, row in enumerate(x):
            h_n = rms_norm(row, w["post_attention_layernorm.weight"])
            gate = w["mlp.gate_proj.weight"] @ h_n
            x[n] = row + w["mlp.down_proj.weight"] @ (gate / (1 + np.exp(-gate)) * (w["mlp.up_proj.weight"] @ h_n))
    return np.array([t["lm_head.weight"] @ rms_norm(row, t["model.norm.weight"]) for row in x])


def test_a_decoder_against_loops(tmp_path):
    tensors = random_tensors("llama")
    model = hw.load(write_folder(tmp_path, "llama", tensors))
    assert model.dtype == np.float64
    np.testing.assert_allclose(model(input_ids=IDS).logits[0], llama_by_loops(IDS[0], tensors), rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "bert", "vit"])
def test_gradients_against_central_differences(family, tmp_path):
    tensors = random_tensors(family)
    rng = np.random.default_rng(1)
    inputs = arrays(family)
    model = hw.load(write_folder(tmp_path / "0", family, tensors))
    output, cache = model.forward(**inputs)
    douts = {name: rng.normal(size=array.shape) for name, array in output.items()}

    def loss(loaded, **changed):
        out = loaded(**(inputs | changed))
        return sum(float((douts[name] * out[name]).sum()) for name in douts)

    grads = model.backward(douts, cache)
    step = 1e-5
    directions = {name: rng.normal(size=array.shape) for name, array in tensors.items()}
    for name in sorted(tensors)[::4]:
        sides = []
        for sign in (1, -1):
            moved = tensors | {name: tensors[name] + sign * step * directions[name]}
            sides.append(loss(hw.load(write_folder(tmp_path / "moved", family, moved))))
        expected = (sides[0] - sides[1]) / (2 * step)
        assert float((grads.tensors[name] * directions[name]).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    if family == "vit":
        pixels = inputs["pixel_values"]
        direction = rng.normal(size=pixels.shape)
        sides = [loss(model, pixel_values=pixels + sign * step * direction) for sign in (1, -1)]
        expected = (sides[0] - sides[1]) / (2 * step)
        assert float((grads.inputs["pixel_values"] * direction).sum()) == pytest.approx(expected, rel=1e-6)


def test_a_model_in_shards(tmp_path):
    tensors = random_tensors("llama")
    whole = hw.load(write_folder(tmp_path / "whole", "llama", tensors))(input_ids=IDS).logits
    folder = write_folder(tmp_path / "shards", "llama", tensors)
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    index = {}
    for i in range(3):
        file = f"model-{i + 1:05}-of-00003.safetensors"
        save_file({name: tensors[name] for name in names[i::3]}, folder / file)
        index |= dict.fromkeys(names[i::3], file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    np.testing.assert_array_equal(hw.load(folder)(input_ids=IDS).logits, whole)


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_half_precision_is_widened_exactly(kind, tmp_path):
    tensors = random_tensors("llama", np.float32)
    if kind == "F16":
        halves = {name: array.astype(np.float16) for name, array in tensors.items()}
        wide = {name: array.astype(np.float32) for name, array in halves.items()}
        folder = write_folder(tmp_path / "half", "llama", halves)
    else:
        upper = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in tensors.items()}
        wide = {name: (array.astype(np.uint32) << 16).view(np.float32) for name, array in upper.items()}
        folder = write_folder(tmp_path / "half", "llama", upper)
        data = (folder / "model.safetensors").read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = data[8 : 8 + size].replace(b'"U16"', b'"BF16"')
        padding = b" " * (-len(header) % 8)
        length = (len(header) + len(padding)).to_bytes(8, "little")
        (folder / "model.safetensors").write_bytes(length + header + padding + data[8 + size :])
    model = hw.load(folder)
    assert model.dtype == np.float32
    expected = hw.load(write_folder(tmp_path / "wide", "llama", wide))(input_ids=IDS).logits
    np.testing.assert_array_equal(model(input_ids=IDS).logits, expected)


@pytest.mark.parametrize(
    ("family", "options", "named"),
    [
        ("llama", {"rotary_dim": 3}, "rotary_dim"),
        ("llama", {"hidden_act": "gelu_10"}, "hidden_act"),
        ("llama", {"rope_scaling": {"rope_type": "spiral", "factor": 2.0}}, "rope_type"),
        ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0, "twist": 3}}, "twist"),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "low_freq_factor"),
        ("llama", {"num_attention_heads": 2, "num_key_value_heads": 3}, "num_key_value_heads"),
        ("llama", {"num_hidden_layers": "two"}, "num_hidden_layers"),
        ("llama", {"num_hidden_layers": 2**31}, "num_hidden_layers: expected at most 10000"),
        ("llama", {"attention_bias": True}, "q_proj.bias"),
        ("llama", {"num_hidden_layers": 1}, "layers.1"),
        ("llama", {"hidden_size": None}, "hidden_size"),
        ("llama", {"rope_parameters": "yarn"}, "malformed"),
        ("llama", {"hidden_act": ["silu"]}, "malformed"),
        ("llama", {"model_type": "mamba"}, "model_type"),
        ("llama", {"model_type": None}, "model_type"),
        ("llama", {"model_type": ["llama"]}, "model_type"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("bert", {"is_decoder": True}, "is_decoder"),
        ("vit", {"image_size": 15}, "position"),
        ("vit", {"patch_size": [5, 5, 5]}, "patch_size"),
        ("vit", {"patch_size": 11}, r"patch_size: expected at most image_size"),
        ("llama", {"num_attention_heads": 5, "head_dim": None}, "num_attention_heads: expected a divisor of hidden_s"),
        ("bert", {"num_attention_heads": 5}, "num_attention_heads: expected a divisor of hidden_size 12"),
        ("bert", {"layer_norm_eps": "small"}, "layer_norm_eps: expected a number; got 'small'"),
    ],
)
def test_options_that_change_the_computation_are_refused_by_name(family, options, named, tmp_path):
    folder = write_folder(tmp_path, family, **options)
    with pytest.raises(hw.HeadwiseError, match=named):
        hw.load(folder)(**arrays(family))


def test_harmless_options_and_old_names_are_accepted(tmp_path):
    tensors = random_tensors("bert")
    expected = hw.load(write_folder(tmp_path / "new", "bert", tensors))(input_ids=IDS).logits
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
           for name, array in tensors.items()}  # fmt: skip
    old["bert.embeddings.position_ids"] = np.arange(23)[None]
    folder = write_folder(
        tmp_path / "old", "bert", old, gradient_checkpointing=False, _name_or_path="x", use_cache=True
    )
    np.testing.assert_array_equal(hw.load(folder)(input_ids=IDS).logits, expected)


def test_missing_unknown_and_misshapen_tensors_are_refused(tmp_path):
    tensors = random_tensors("bert")
    missing = {name: array for name, array in tensors.items() if not name.endswith("1.output.dense.bias")}
    with pytest.raises(CheckpointError, match=r"no tensor 'bert\.encoder\.layer\.1\.output\.dense\.bias'"):
        hw.load(write_folder(tmp_path / "missing", "bert", missing))
    with pytest.raises(CheckpointError, match=r"unknown tensor 'bert\.adapter\.weight'"):
        hw.load(write_folder(tmp_path / "unknown", "bert", tensors | {"bert.adapter.weight": np.zeros((2, 2))}))
    key = "bert.encoder.layer.0.attention.self.key.weight"
    with pytest.raises(CheckpointError, match=key):
        hw.load(write_folder(tmp_path / "shape", "bert", tensors | {key: np.zeros((12, 11))}))


def test_weights_that_are_quantised_or_no_numbers_are_refused(tmp_path):
    tensors = random_tensors("bert")
    key = "bert.encoder.layer.0.attention.self.key.weight"
    with pytest.raises(CheckpointError, match=f"{key}: .* got I8. Quantised models are read from .gguf"):
        hw.load(write_folder(tmp_path / "int8", "bert", tensors | {key: np.ones((12, 12), np.int8)}))
    with pytest.raises(CheckpointError, match=f"{key}: it holds NaN or infinity"):
        hw.load(write_folder(tmp_path / "nan", "bert", tensors | {key: np.full((12, 12), np.nan, np.float32)}))
    folder = write_folder(tmp_path / "gptq", "bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(CheckpointError, match="its weights are quantised"):
        hw.load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    with pytest.raises(CheckpointError, match=r"got 'mamba'. A model that torch runs is opened as FILE\.py:OBJECT"):
        hw.load(folder)
    (folder / "config.json").rename(folder / "adapter_config.json")
    with pytest.raises(DataError, match="an adapter"):
        hw.load(folder)


def test_files_that_are_not_models_are_refused(tmp_path):
    folder = write_folder(tmp_path / "pickle", "bert")
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"model\.safetensors"):
        hw.load(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    for path in (folder, folder / "pytorch_model.bin"):
        with pytest.raises(DataError, match=r"pickle file.*weights_only=True.*save_file"):
            hw.load(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no config\.json"):
        hw.load(tmp_path / "empty")
    with pytest.raises(DataError, match=r"path: expected a folder or file .* got int"):
        hw.load(3)
    with pytest.raises(DataError, match="no such file"):
        hw.load(tmp_path / "nothing")
    corrupt = write_folder(tmp_path / "corrupt", "bert")
    data = (corrupt / "model.safetensors").read_bytes()
    (corrupt / "model.safetensors").write_bytes(data[:-8])
    with pytest.raises(CheckpointError, match="corrupt"):
        hw.load(corrupt)
    (corrupt / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        hw.load(corrupt)
    (corrupt / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="expected a JSON object"):
        hw.load(corrupt)
    whole = write_folder(tmp_path / "whole", "bert")
    complex_numbers = (whole / "model.safetensors").read_bytes().replace(b'"F64"', b'"C64"')
    (whole / "model.safetensors").write_bytes(complex_numbers)
    with pytest.raises(CheckpointError, match="expected F64, F32, F16 or BF16; got C64"):
        hw.load(whole)
    (whole / "model.safetensors").rename(whole / "part.safetensors")
    (whole / "model.safetensors.index.json").write_text('{"weight_map": ["part.safetensors"]}')
    with pytest.raises(CheckpointError, match="expected a weight_map from tensors to files"):
        hw.load(whole)
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + b"\0" * 40)
    with pytest.raises(CheckpointError):
        hw.load(tmp_path / "model.gguf")


def test_arguments_of_a_call_are_checked(tmp_path):
    model = hw.load(write_folder(tmp_path, "bert"))
    for error, message, inputs in (
        (DataError, "input_ids: this model needs it", {}),
        (DataError, "pixel_values: this model does not read it", {"pixel_values": np.zeros((1, 3, 4, 4))}),
        (DataError, "pixel_values: this model", {"input_ids": IDS, "pixel_values": np.zeros((2, 3, 4, 4))}),
        (DataError, "input_ids: expected whole numbers; got float64", {"input_ids": IDS * 1.0}),
        (DataError, "input_ids: expected 0 to 18; got", {"input_ids": IDS + 17}),
        (DataError, "input_ids: expected 0 to 18; got -1", {"input_ids": IDS - 1}),
        (ShapeError, r"input_ids: expected \(B, N\); got \(5,\)", {"input_ids": IDS[0]}),
        (DataError, "position_ids: .* longer than the model allows", {"input_ids": np.zeros((1, 24), int)}),
        (MaskError, r"attention_mask: expected \(B, N\)", {"input_ids": IDS, "attention_mask": MASK[:, :3]}),
        (MaskError, "attention_mask: expected only 0 and 1", {"input_ids": IDS, "attention_mask": 2 * MASK}),
        (MaskError, "attention_mask: .* got int64 of shape", {"input_ids": IDS, "attention_mask": MASK[:, None, None]}),
        (DataError, "labels: not an argument", {"input_ids": IDS, "labels": IDS}),
        (DataError, "either input_ids or", {"input_ids": IDS, "inputs_embeds": np.zeros((2, 5, 12))}),
        (DataError, "inputs_embeds: expected float64; got int64", {"inputs_embeds": np.zeros((2, 5, 12), int)}),
    ):
        with pytest.raises(error, match=message):
            model(**inputs)


def test_arguments_of_a_call_with_images_are_checked(tmp_path):
    model = hw.load(write_folder(tmp_path, "vit"))
    for error, message, inputs in (
        (ShapeError, r"pixel_values: expected \(B, C=3, Y, X\)", {"pixel_values": np.zeros((1, 10, 10, 3))}),
        (ShapeError, "pixel_values: expected at least 5 × 5 pixels", {"pixel_values": np.zeros((1, 3, 10, 4))}),
        (MaskError, "only texts take one", {"pixel_values": np.zeros((1, 3, 10, 10)), "attention_mask": MASK}),
    ):
        with pytest.raises(error, match=message):
            model(**inputs)


def test_a_model_without_a_head_says_why_it_has_no_scores(tmp_path):
    tensors = {name: array for name, array in random_tensors("bert").items() if not name.startswith("classifier")}
    model = hw.load(write_folder(tmp_path, "bert", tensors, architectures=["BertModel"]))
    assert "predict" not in model.capabilities
    with pytest.raises(DataError, match="predict: "):
        model.predict(IDS[0])
    for function in (attribute, differentiable):
        with pytest.raises(DataError, match="model: expected a model with scores"):
            function(model, IDS[0])


def test_padding_does_not_change_a_text(tmp_path):
    for family in ("bert", "llama"):
        model = hw.load(write_folder(tmp_path / family, family))
        padded = model(input_ids=IDS, attention_mask=MASK).last_hidden_state[1, :3]
        alone = model(input_ids=IDS[1:, :3]).last_hidden_state[0]
        np.testing.assert_allclose(padded, alone, rtol=0, atol=1e-12)


def test_words_may_be_passed_as_embeddings(tmp_path):
    model = hw.load(write_folder(tmp_path, "bert"))
    embeds = model.params["embedding.word"][IDS]
    by_ids, by_embeds = model(input_ids=IDS), model(inputs_embeds=embeds)
    np.testing.assert_array_equal(by_ids.logits, by_embeds.logits)


def test_capture_records_the_layers(tmp_path):
    model = hw.load(write_folder(tmp_path, "llama"))
    capture = hw.capture(model, input_ids=IDS, attention_mask=MASK)
    expected = model(input_ids=IDS, attention_mask=MASK, output_attentions=True)
    assert [layer.name for layer in capture.layers] == ["model.layers.0.self_attn", "model.layers.1.self_attn"]
    assert capture.proven
    for layer, weights in zip(capture.layers, expected.attentions, strict=True):
        assert (layer.kind, layer.q.shape, layer.k.shape) == ("self", (2, 2, 5, 4), (2, 1, 5, 4))
        np.testing.assert_allclose(layer.weights(), weights, rtol=0, atol=1e-12)
        assert not np.triu(layer.weights(), 1).any()
    np.testing.assert_array_equal(capture.output.logits, expected.logits)
    (last,) = hw.capture(model, input_ids=IDS, layers=-1).layers
    assert last.name == "model.layers.1.self_attn"


@pytest.mark.parametrize("family", ["bert", "llama", "vit"])
def test_float32_and_float64_agree(family, tmp_path):
    model = hw.load(write_folder(tmp_path, family), dtype=np.float32)
    assert model.dtype == np.float32
    narrow, wide = model(**arrays(family)).logits, model.astype(np.float64)(**arrays(family)).logits
    assert (narrow.dtype, wide.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=2e-5 * np.abs(wide).max())


def test_paths_may_be_strings(tmp_path):
    assert hw.load(str(write_folder(tmp_path, "bert"))).path == Path(tmp_path)
