"""Loaded .gguf files against transformers: rows of queries and keys permuted or not, and quantised tensors."""

import numpy as np
import pytest

import headwise as hw
from helpers.pretrained import DECODER

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="transformers builds the models to compare with: make parity")
gguf = pytest.importorskip("gguf")
pytestmark = pytest.mark.parity

NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
SIZES = DECODER | {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 96}  # rows of whole quantisation blocks


def permuted(weight, heads):
    """Rows in llama.cpp's order: the two halves of a head interleaved."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def write(path, architecture, model, config, kind):
    """The model as a .gguf file, written independently of the reader."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    for name, parameter in model.state_dict().items():
        array = parameter.numpy()
        stem, suffix = name.rsplit(".", 1)
        prefix = ""
        if stem.startswith("model.layers."):
            _, _, layer, stem = stem.split(".", 3)
            prefix = f"blk.{layer}."
        if architecture == "llama" and stem in ("self_attn.q_proj", "self_attn.k_proj"):
            heads = config.num_attention_heads if "q_proj" in stem else config.num_key_value_heads
            array = permuted(array, heads)
        quantised = kind is not None and array.ndim == 2
        data = gguf.quants.quantize(array, kind) if quantised else array
        writer.add_tensor(f"{prefix}{NAMES[stem]}.{suffix}", data, raw_dtype=kind if quantised else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("architecture", "name", "options"),
    [
        ("llama", "Llama", {}),
        ("llama", "Llama", {"tie_word_embeddings": True, "attention_bias": False}),
        ("qwen2", "Qwen2", {}),
        ("qwen3", "Qwen3", {"head_dim": 32}),
    ],
)
@pytest.mark.parametrize("kind", [None, "F16", "Q8_0", "Q4_1"])
def test_files_of_llama_cpp(architecture, name, options, kind, tmp_path):
    torch.manual_seed(4)
    config = getattr(transformers, f"{name}Config")(**SIZES, **options, initializer_range=0.3, rms_norm_eps=1e-5)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    quantisation = None if kind is None else gguf.GGMLQuantizationType[kind]
    path = tmp_path / "model.gguf"
    if config.tie_word_embeddings:
        del model.lm_head  # the file has the embedding only
    write(path, architecture, model, config, quantisation)

    if quantisation is not None:  # what the file can hold of the parameters
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    stored = gguf.quants.quantize(parameter.numpy(), quantisation)
                    parameter.copy_(torch.from_numpy(gguf.quants.dequantize(stored, quantisation)))
    ids = np.random.default_rng(0).integers(0, 96, (2, 11))
    with torch.no_grad():
        hidden = model.model(torch.from_numpy(ids)).last_hidden_state.numpy()
    loaded = hw.load(path)
    ours = loaded(input_ids=ids)
    assert np.abs(ours.last_hidden_state - hidden).max() < 2e-5 * np.abs(hidden).max()
    assert ours.logits.shape == (2, 11, 96)
    assert loaded.dtype == np.float32
