"""The checker on attention of models of transformers, as they are and with a scale of one."""

from __future__ import annotations

import pytest

import headwise as hw

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity

_SIZES = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim"), 32),
    **dict.fromkeys(
        ("num_attention_heads", "n_head", "n_heads", "encoder_attention_heads", "decoder_attention_heads"), 4
    ),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "encoder_layers", "num_layers"), 2),
    **dict.fromkeys(("intermediate_size", "encoder_ffn_dim", "d_ff", "ffn_dim"), 40),
    **dict.fromkeys(("head_dim", "query_pre_attn_scalar", "d_kv", "patch_size"), 8),
    "num_key_value_heads": 2,
    "vocab_size": 60,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "image_size": 32,
    "num_local_experts": 2,
    "pad_token_id": 0,
    "decoder_layers": 1,
    "attention_multiplier": 8**-0.5,
}

# the class of the attention in a model of this type, and conventions among others
MODELS = {
    "apertus": ("ApertusAttention", ("rope", "qk-norm")),
    "bert": ("BertSelfAttention", ()),
    "biogpt": ("BioGptAttention", ("causal-without-mask",)),
    "bloom": ("BloomAttention", ()),
    "clip_text_model": ("CLIPAttention", ()),
    "cohere": ("CohereAttention", ("rope",)),
    "distilbert": ("DistilBertSelfAttention", ()),
    "exaone4": ("Exaone4Attention", ("rope", "qk-norm")),
    "gemma2": ("Gemma2Attention", ("rope", "softcap-built-in")),
    "gemma3_text": ("Gemma3Attention", ("rope", "qk-norm")),
    "glm": ("GlmAttention", ("rope",)),
    "gpt2": ("GPT2Attention", ("causal-without-mask",)),
    "gpt_neox": ("GPTNeoXAttention", ("rope",)),
    "gpt_oss": ("GptOssAttention", ("rope", "sinks")),
    "granite": ("GraniteAttention", ("rope",)),
    "llama": ("LlamaAttention", ("causal-without-mask", "rope")),
    "mixtral": ("MixtralAttention", ("rope",)),
    "modernbert": ("ModernBertAttention", ("rope",)),
    "mpt": ("MptAttention", ()),
    "opt": ("OPTAttention", ("causal-without-mask",)),
    "qwen3": ("Qwen3Attention", ("rope", "qk-norm")),
    "t5": ("T5Attention", ("position-bias",)),
    "vit": ("ViTAttention", ()),
    "whisper": ("WhisperAttention", ()),
}


def _attention(name: str):
    """The first module of attention in a small model."""
    kind = type(transformers.AutoConfig.for_model(name))
    stated = kind().to_dict()
    model = transformers.AutoModel.from_config(kind(**{k: v for k, v in _SIZES.items() if k in stated}))
    return next(part for part in model.eval().modules() if type(part).__name__ == MODELS[name][0])


@pytest.mark.parametrize("name", MODELS)
def test_attention_of_a_model_is_right(name):
    verdict = hw.check(_attention(name))
    assert verdict.ok, verdict.report()
    assert set(MODELS[name][1]) <= set(verdict.conventions)


@pytest.mark.parametrize("name", ["cohere", "gemma3_text", "gpt2", "gpt_oss", "llama", "qwen3", "vit"])
def test_a_wrong_scale_is_named(name):
    attention = _attention(name)
    attention.scaling = 1.0
    assert hw.check(attention).mistakes == ("scale-missing",)
