"""Real weights from the packages of ``make models``: the same embeddings and next tokens as transformers computes."""

import doctest
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import headwise as hw

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="transformers is the peer: make parity")
pytestmark = pytest.mark.parity

MODELS = Path(__file__).parents[2] / "models"


def model_path(name):
    if not (path := MODELS / name).exists():
        pytest.skip(f"models/{name} is missing: make models")
    return path


def test_sentence_embeddings_of_minilm():
    folder = model_path("minilm")
    texts = ["A cat sits on the mat.", "Eine Katze – naïve, 3.14!", "stock prices " * 200]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    reference = transformers.AutoModel.from_pretrained(folder).eval()
    arrays = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = reference(**arrays).last_hidden_state
    mask = arrays["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1))
    model = hw.load(folder)
    for name, array in model.preprocess(texts).items():
        np.testing.assert_array_equal(array, arrays[name].numpy())
    np.testing.assert_allclose(model.encode(texts), expected.numpy(), rtol=0, atol=2e-6)


def halves(weight, heads):
    """Rows of a head as transformers has them: the inverse of llama.cpp's order."""
    return weight.reshape(heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def test_next_tokens_of_smollm2():
    gguf = pytest.importorskip("gguf")
    path = model_path("smollm2.gguf")
    config = transformers.LlamaConfig(
        hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        vocab_size=49152, rope_parameters={"rope_type": "default", "rope_theta": 100000.0}, rms_norm_eps=1e-5,
        max_position_embeddings=8192, tie_word_embeddings=True,
    )  # fmt: skip
    reference = transformers.LlamaForCausalLM(config).eval()
    names = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
             "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}  # fmt: skip
    state = {}
    for tensor in gguf.GGUFReader(path).tensors:
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        parts = tensor.name.split(".")
        if parts[0] == "blk":
            array = halves(array, {"attn_q": 9, "attn_k": 3}[parts[2]]) if parts[2] in ("attn_q", "attn_k") else array
            state[f"model.layers.{parts[1]}.{names[parts[2]]}.weight"] = torch.from_numpy(np.array(array))
        else:
            name = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}[parts[0]]
            state[f"{name}.weight"] = torch.from_numpy(np.array(array))
    reference.load_state_dict(state, strict=False)
    reference.tie_weights()

    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = hw.load(path)
    for text in (
        "The capital of France is Paris, and 3.1415 is",
        "def fibonacci(n):\n    if n < 2:\n        return",
        "<|im_start|>user\nWhat's 12+34? It's fun — naïve café!<|im_end|>\n",
    ):
        ids = np.array([tokenizer(text)["input_ids"]])
        np.testing.assert_array_equal(model.preprocess(text)["input_ids"], ids)
        with torch.no_grad():
            expected = reference(torch.from_numpy(ids)).logits.numpy()
        logits = model(input_ids=ids).logits
        np.testing.assert_array_equal(logits.argmax(-1), expected.argmax(-1))
        assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


def test_dinov2_on_a_photograph_against_onnxruntime(tmp_path):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from sklearn.datasets import load_sample_image

    from convert_dinov2 import convert

    path = model_path("dinov2-s.onnx")
    convert(path, tmp_path)
    model = hw.load(tmp_path)
    arrays = model.preprocess(load_sample_image("flower.jpg"))
    graph = onnx.load(path)
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info("/backbone/layernorm/Add_1_output_0"))
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    expected = session.run(None, {session.get_inputs()[0].name: arrays["pixel_values"]})[1]
    hidden = model(**arrays).last_hidden_state
    assert np.abs(hidden - expected).max() < 1e-4 * np.abs(expected).max()
    theirs = hw.capture(path, input_image=arrays["pixel_values"]).layers
    for ours, layer in zip(model.look(load_sample_image("flower.jpg")).layers, theirs, strict=True):
        np.testing.assert_allclose(ours.weights(), layer.weights(), rtol=0, atol=1e-4)
    for other in ("bicubic_antialias", "bicubic_offset"):  # other positions at this size: another answer
        hidden = hw.load(tmp_path, interpolation=other)(**arrays).last_hidden_state
        assert np.abs(hidden - expected).max() > 1e-2 * np.abs(expected).max()


def test_the_pickle_of_rxnmapper_is_refused_with_the_conversion():
    with pytest.raises(hw.HeadwiseError, match=r"pytorch_model\.bin: a pickle file.*save_file"):
        hw.load(model_path("rxnmapper"))


def test_the_sessions_of_the_page(monkeypatch):
    pytest.importorskip("onnxruntime")
    for name in ("minilm", "smollm2.gguf", "dinov2-s.onnx"):
        model_path(name)
    if not (MODELS / "dinov2-s").exists():
        from convert_dinov2 import convert

        convert(MODELS / "dinov2-s.onnx", MODELS / "dinov2-s")
    monkeypatch.chdir(MODELS.parent)
    failed, tried = doctest.testfile(str(MODELS.parent / "docs" / "models.md"), module_relative=False)
    assert failed == 0
    assert tried > 30


def test_int8_layers_are_verified_with_the_rounded_weights():
    """Smart Turn's encoder rounds its weights to multiples of 0.0039, so that rows sum to between 0.7 and 1.3."""
    pytest.importorskip("onnxruntime")
    sound = 0.3 * np.random.default_rng(0).normal(size=(1, 80, 800)).astype(np.float32)
    found = hw.capture(model_path("smart-turn.onnx"), sound)
    assert len(found.layers) == 4
    assert found.proven
    assert max(layer.error for layer in found.layers) < 1e-5
    plain = replace(found.layers[0], rounding=None)
    assert plain.error > 0.1
