"""Small random transformers models under their default kernels: captured weights against their eager attentions."""

import numpy as np
import pytest

import headwise as hw
from headwise.errors import CaptureError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

B, N, M = 2, 7, 5

SIZES = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "embedding_size", "emb_dim"), 24),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 3),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads", "num_key_value_heads"), 3),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "ffn_dim", "d_ff", "encoder_ffn_dim", "decoder_ffn_dim"), 32),
    "head_dim": 8,
    "d_kv": 8,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "max_position_embeddings": 40,
    "n_positions": 40,
    "image_size": 16,
    "patch_size": 4,
    "decoder_start_token_id": 1,
}
GROUPED = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 4}
TEXT = {
    **{kind: {} for kind in ("bert", "roberta", "albert", "distilbert", "electra", "xlm-roberta", "camembert")},
    **{kind: {} for kind in ("mpnet", "ernie", "rembert")},
    **{kind: {} for kind in ("gpt2", "opt", "phi", "olmo", "gpt_neox", "mpt", "bloom", "openai-gpt", "ctrl", "xglm")},
    **{
        kind: GROUPED
        for kind in ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "olmo2", "granite", "stablelm")
    },
    "gemma3_text": {**GROUPED, "sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"]},
    "starcoder2": {**GROUPED, "sliding_window": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 3},
    "gpt_oss": {
        **GROUPED,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "intermediate_size": 32,
        "hidden_size": 32,
    },
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 8},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 8},
    "qwen2_moe": {**GROUPED, "moe_intermediate_size": 8, "num_experts": 4, "shared_expert_intermediate_size": 8},
    "modernbert": {"num_attention_heads": 3, "local_attention": 4},
    "xlm": {},
    "roformer": {},
    "esm": {"mask_token_id": 3},
    "gpt_bigcode": {},
}
SEQUENCES = ("t5", "bart", "mbart", "pegasus", "marian", "m2m_100", "blenderbot")
IMAGES = {
    **{kind: {} for kind in ("vit", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "beit")},
    **{kind: {} for kind in ("ijepa", "vit_msn", "siglip_vision_model", "clip_vision_model")},
    "swin": {"embed_dim": 12, "depths": [1, 1], "num_heads": [2, 4], "window_size": 2, "patch_size": 2},
    "segformer": {
        "num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [12, 24],
        "num_attention_heads": [1, 2], "patch_sizes": [3, 3], "strides": [2, 2], "mlp_ratios": [2, 2],
    },
}  # fmt: skip


def made(kind, options):
    """A small random model in evaluation mode."""
    torch.manual_seed(0)
    config = transformers.CONFIG_MAPPING[kind]
    known = config()
    sizes = {name: value for name, value in SIZES.items() if hasattr(known, name) and _fits(known, name, value)}
    return transformers.AutoModel.from_config(config(**{**sizes, **options})).eval()


def _fits(config, name, value):
    """Whether an option can be set, and has the same type by default."""
    own = getattr(type(config), name, None)
    if isinstance(own, property) and own.fset is None:
        return False
    return not isinstance(getattr(config, name), list | tuple)


def inputs(kind):
    generator = torch.Generator().manual_seed(1)
    if kind in IMAGES:
        return {"pixel_values": torch.randn(B, 3, 16, 16, generator=generator)}
    mask = torch.ones(B, N, dtype=torch.long)
    mask[1, 5:] = 0
    found = {"input_ids": torch.randint(3, 50, (B, N), generator=generator), "attention_mask": mask}
    if kind in SEQUENCES:
        found["decoder_input_ids"] = torch.randint(3, 50, (B, M), generator=generator)
    return found


def eager(model, given):
    """The attentions that the model itself returns when it runs eagerly, in execution order."""
    model.set_attn_implementation("eager")
    output = model(**given, output_attentions=True)
    encoder = [w for w in output.get("encoder_attentions") or () if w is not None]
    if not encoder:
        return [w for w in output["attentions"] if w is not None]
    pairs = zip(output["decoder_attentions"], output["cross_attentions"], strict=True)
    return [*encoder, *(w for pair in pairs for w in pair)]


CASES = {**TEXT, **{kind: {} for kind in SEQUENCES}, **IMAGES}


@pytest.mark.parametrize("kind", CASES)
def test_equals_eager(kind):
    model, given = made(kind, CASES[kind]), inputs(kind)
    with torch.no_grad():
        found = hw.capture(model, **given)
        expected = eager(model, given)
    layers = [layer for layer in found.layers if layer.name != "head.attention"]  # SigLIP's pooling is not returned
    assert len(layers) == len(expected)
    for layer, weights in zip(layers, expected, strict=True):
        assert layer.proven, layer.message
        assert not layer.note
        shown = np.nan_to_num(weights.numpy())
        np.testing.assert_allclose(layer.weights().reshape(shown.shape), shown, atol=1e-5)
    if kind in SEQUENCES:
        assert [layer.kind for layer in layers] == ["self", "self", "self", "cross", "self", "cross"]
    else:
        assert {layer.kind for layer in layers} == {"self"}
    if CASES[kind].get("num_key_value_heads"):
        assert {layer.k.shape[1] for layer in layers} == {2}


def test_parts_of_models():
    with torch.no_grad():
        sinks = hw.capture(made("gpt_oss", TEXT["gpt_oss"]), **inputs("gpt_oss")).layers[0]
        pooled = hw.capture(made("siglip_vision_model", {}), **inputs("vit")).layers[-1]
        shared = hw.capture(made("albert", {}), **inputs("bert"))
        padded = hw.capture(made("llama", GROUPED), **inputs("llama")).layers[0]
        window = hw.capture(made("gemma3_text", TEXT["gemma3_text"]), **inputs("llama")).layers[0]
    assert sinks.sinks.shape == (1, 6)
    assert (pooled.kind, pooled.shape) == ("cross", (B, 3, 1, 16))
    assert [layer.call for layer in shared.layers] == [0, 1]
    assert shared.layers[0].name == shared.layers[1].name
    assert padded.bias is None
    assert padded.mask.causal
    assert padded.mask.bits is None
    assert (window.weights([N - 1])[0, 0, 0, : N - 3] == 0).all()


WINDOW = {"sliding_window": 4, "use_sliding_window": True, "max_window_layers": 0}


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("kind", "sizes_of_kind", "options"),
    [
        ("gpt2", {}, {}),
        ("llama", {}, {}),
        ("llama", GROUPED, {}),
        ("llama", GROUPED, {"cache_implementation": "static"}),
        ("qwen2", {**GROUPED, **WINDOW}, {}),
        ("qwen2", {**GROUPED, **WINDOW}, {"cache_implementation": "static"}),
    ],
)
def test_generation_is_one_matrix(kind, sizes_of_kind, options, implementation):
    """Also where transformers packs the heads of a single query as queries of the key heads."""
    torch.manual_seed(0)
    config = transformers.CONFIG_MAPPING[kind]
    known = config()
    sizes = {name: value for name, value in SIZES.items() if hasattr(known, name) and _fits(known, name, value)}
    model = transformers.AutoModelForCausalLM.from_config(config(**{**sizes, **sizes_of_kind})).eval()
    model.set_attn_implementation(implementation)
    ids = torch.randint(3, 50, (B, N))
    given = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False}
    found = hw.capture(model.generate, ids, **given, **options)
    assert [layer.index for layer in found.layers] == [0, 1]
    with torch.no_grad():
        expected = eager(model, {"input_ids": found.output[:, :-1]})
    for layer, weights in zip(found.layers, expected, strict=True):
        assert layer.proven, layer.message
        total = N + 3
        np.testing.assert_allclose(layer.weights()[..., :total], weights, atol=1e-5)
        assert (layer.weights()[..., total:] == 0).all()


def test_passes_without_a_cache_are_calls_of_their_own():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=24, intermediate_size=16, vocab_size=50, num_hidden_layers=2, **GROUPED
    )
    model = transformers.LlamaForCausalLM(config).eval()
    given = {"max_new_tokens": 3, "min_new_tokens": 3, "do_sample": False, "use_cache": False}
    found = hw.capture(model.generate, torch.randint(3, 50, (B, N)), **given, layers="*.layers.0.*")
    assert [layer.shape[2:] for layer in found.layers] == [(N, N), (N + 1, N + 1), (N + 2, N + 2)]
    assert found.proven


def test_generation_of_a_sequence_model():
    torch.manual_seed(0)
    sizes = {name: SIZES[name] for name in ("d_model", "encoder_layers", "decoder_layers", "vocab_size")}
    heads = {"encoder_attention_heads": 3, "decoder_attention_heads": 3, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    config = transformers.BartConfig(**sizes, **heads, max_position_embeddings=40)
    model = transformers.BartForConditionalGeneration(config).eval()
    given = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "num_beams": 1}
    found = hw.capture(model.generate, torch.randint(3, 50, (B, N)), **given)
    assert [(layer.kind, layer.shape) for layer in found.layers] == [
        ("self", (B, 3, N, N)), ("self", (B, 3, N, N)),
        ("self", (B, 3, 4, 4)), ("cross", (B, 3, 4, N)), ("self", (B, 3, 4, 4)), ("cross", (B, 3, 4, N)),
    ]  # fmt: skip
    assert found.proven


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["llama", "gemma2", "bert"])
def test_half_precision(kind, dtype):
    model = made(kind, CASES[kind]).to(dtype)
    with torch.no_grad():
        found = hw.capture(model, **inputs(kind))
    assert found.proven
    assert {layer.precision for layer in found.layers} == {str(dtype).removeprefix("torch.")}


@pytest.mark.parametrize("implementation", ["sdpa", "eager", "flex_attention"])
def test_implementations_agree(implementation):
    model, ids = made("llama", {**GROUPED, "head_dim": 16}), inputs("llama")["input_ids"]
    with torch.no_grad():
        expected = hw.capture(model, ids).weights()
        model.set_attn_implementation(implementation)
        found = hw.capture(model, ids)
    assert found.proven
    np.testing.assert_allclose(found.weights(), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["fnet", "mamba"])
def test_models_without_attention(kind):
    with pytest.raises(CaptureError, match="calls no attention"):
        hw.capture(made(kind, {}), inputs("bert")["input_ids"])


def test_attention_that_cannot_be_followed():
    with pytest.raises(CaptureError, match="calls no attention that can be followed"):
        hw.capture(made("longformer", {"attention_window": 4}), **inputs("bert"))


TINY = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 16}
PAIR = {
    "d_model": 24, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 3, "decoder_attention_heads": 3,
    "encoder_ffn_dim": 8, "decoder_ffn_dim": 8,
}  # fmt: skip
SPECIAL_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
WHISPER = {**PAIR, **SPECIAL_TOKENS, "vocab_size": 50, "num_mel_bins": 8, "max_source_positions": 20}
CONVOLUTIONS = {"conv_dim": (8, 8), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2}
WAV2VEC2 = {**TINY, **CONVOLUTIONS, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
SERIES = {"context_length": 32, "patch_length": 8, "patch_stride": 8, "num_input_channels": 2, "ffn_dim": 8}
LATENTS = {"num_latents": 5, "d_latents": 24, "d_model": 16, "num_blocks": 1, "num_self_attends_per_block": 2}
OTHERS = {
    "whisper": (WHISPER, {"input_features": (B, 8, 40), "decoder_input_ids": N}, "ssc"),
    "wav2vec2": (WAV2VEC2, {"input_values": (B, 400)}, "ss"),
    "patchtst": (
        {**SERIES, "d_model": 24, "num_hidden_layers": 2, "num_attention_heads": 3},
        {"past_values": (B, 32, 2)},
        "ss",
    ),
    "xlnet": ({"vocab_size": 50, "d_model": 24, "n_layer": 2, "n_head": 3, "d_inner": 16}, {"input_ids": N}, "ss"),
    "perceiver": (
        {**LATENTS, "num_self_attention_heads": 3, "num_cross_attention_heads": 2, "qk_channels": 24, "v_channels": 24},
        {"inputs": (B, 9, 16)},
        "css",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_speech_series_and_latents(kind):
    options, shapes, kinds = OTHERS[kind]
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(transformers.CONFIG_MAPPING[kind](**options)).eval()
    given = {
        name: torch.randint(3, 50, (B, shape)) if isinstance(shape, int) else torch.randn(shape)
        for name, shape in shapes.items()
    }
    with torch.no_grad():
        found = hw.capture(model, **given)
        model.set_attn_implementation("eager")
        output = model(**given, output_attentions=True)
    names = [name for name in output if name.endswith("attentions") and output[name] is not None]
    expected = [weights.numpy() for name in names for weights in output[name] if weights is not None]
    assert "".join(layer.kind[0] for layer in found.layers) == kinds
    assert len(found.layers) == len(expected)
    for layer in found.layers:
        assert layer.proven, layer.message
        same = [weights for weights in expected if weights.size == layer.weights().size]
        assert min(np.abs(weights.reshape(layer.shape) - layer.weights()).max() for weights in same) < 1e-5
