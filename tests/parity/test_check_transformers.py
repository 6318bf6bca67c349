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
    **dict.fromkeys(("n_layer", "n_layers", "encoder_layers", "num_layers"), 2),
    **dict.fromkeys(("intermediate_size", "encoder_ffn_dim", "d_ff", "ffn_dim"), 40),
    **dict.fromkeys(("head_dim", "query_pre_attn_scalar", "d_kv", "patch_size"), 8),
    "num_hidden_layers": 4,  # of some only the fourth has attention
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

# class of attention: the type of model that it is in, and conventions among others
MODELS = {
    "AfmoeAttention": ("afmoe", ("qk-norm", "gated")),
    "ApertusAttention": ("apertus", ("rope", "qk-norm")),
    "BertSelfAttention": ("bert", ()),
    "BioGptAttention": ("biogpt", ("causal-without-mask",)),
    "BitNetAttention": ("bitnet", ("rope", "norm-inside")),
    "BloomAttention": ("bloom", ()),
    "CLIPAttention": ("clip_text_model", ()),
    "CohereAttention": ("cohere", ("rope",)),
    "DebertaAttention": ("deberta", ("residual-inside", "norm-inside")),
    "DistilBertSelfAttention": ("distilbert", ()),
    "Exaone4Attention": ("exaone4", ("rope", "qk-norm")),
    "Gemma2Attention": ("gemma2", ("rope", "softcap-built-in")),
    "Gemma3Attention": ("gemma3_text", ("rope", "qk-norm")),
    "GlmAttention": ("glm", ("rope",)),
    "GPT2Attention": ("gpt2", ("causal-without-mask",)),
    "GPTNeoXAttention": ("gpt_neox", ("rope",)),
    "GptOssAttention": ("gpt_oss", ("rope", "sinks")),
    "GraniteAttention": ("granite", ("rope",)),
    "LlamaAttention": ("llama", ("causal-without-mask", "rope")),
    "MixtralAttention": ("mixtral", ("rope",)),
    "ModernBertAttention": ("modernbert", ("rope",)),
    "MptAttention": ("mpt", ()),
    "Olmo2Attention": ("olmo2", ("rope", "qk-norm-of-all-heads")),
    "OPTAttention": ("opt", ("causal-without-mask",)),
    "PvtAttention": ("pvt", ("keys-reduced",)),
    "Qwen3Attention": ("qwen3", ("rope", "qk-norm")),
    "Qwen3NextAttention": ("qwen3_next", ("rope", "qk-norm", "gated")),
    "SegformerAttention": ("segformer", ("keys-reduced",)),
    "T5Attention": ("t5", ("position-bias",)),
    "T5LayerCrossAttention": ("t5", ("unscaled", "residual-inside", "norm-inside")),
    "ViTAttention": ("vit", ()),
    "WhisperAttention": ("whisper", ()),
}


def _attention(name: str):
    """The first module of this class in a small model."""
    kind = type(transformers.AutoConfig.for_model(MODELS[name][0]))
    stated = kind().to_dict()
    model = transformers.AutoModel.from_config(
        kind(**{k: v for k, v in _SIZES.items() if k in stated and not isinstance(stated[k], list)})
    )
    return next(part for part in model.eval().modules() if type(part).__name__ == name)


@pytest.mark.parametrize("name", MODELS)
def test_attention_of_a_model_is_right(name):
    verdict = hw.check(_attention(name))
    assert verdict.ok, verdict.report()
    assert set(MODELS[name][1]) <= set(verdict.conventions)


@pytest.mark.parametrize(
    "name",
    [
        "AfmoeAttention",
        "BitNetAttention",
        "CohereAttention",
        "Gemma3Attention",
        "GPT2Attention",
        "GptOssAttention",
        "LlamaAttention",
        "Olmo2Attention",
        "Qwen3Attention",
        "Qwen3NextAttention",
        "ViTAttention",
    ],
)
def test_a_wrong_scale_is_named(name):
    attention = _attention(name)
    attention.scaling = 1.0
    assert hw.check(attention).mistakes == ("scale-missing",)
