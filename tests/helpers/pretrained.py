"""Small random models of transformers, saved as their library saves them, with inputs and outputs to compare with."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

TEXT = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 37, "vocab_size": 53}
IMAGE = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 37,
         "image_size": 35, "patch_size": 7}  # fmt: skip
DINO = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "mlp_ratio": 2, "image_size": 35,
        "patch_size": 7}  # fmt: skip
DECODER = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
           "intermediate_size": 37, "vocab_size": 53}  # fmt: skip
GPT2 = {"n_embd": 24, "n_layer": 3, "n_head": 3, "vocab_size": 53, "n_positions": 41}
DISTIL = {"dim": 24, "n_layers": 3, "n_heads": 3, "hidden_dim": 37, "vocab_size": 53}
WHISPER = {"d_model": 24, "encoder_layers": 3, "encoder_attention_heads": 3, "encoder_ffn_dim": 37, "num_mel_bins": 7,
           "max_source_positions": 19, "decoder_layers": 1, "decoder_attention_heads": 3, "decoder_ffn_dim": 11,
           "vocab_size": 53, "pad_token_id": 0}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 8}
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 8,
        "short_factor": [1.1, 1.2, 1.3], "long_factor": [2.0, 3.0, 5.0]}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A model of transformers: class, configuration class, options, and how it is called."""

    name: str
    model: str
    config: str
    options: dict[str, Any]
    size: tuple[int, int] = (35, 35)
    call: dict[str, Any] = field(default_factory=dict)
    inner: str = ""  # the submodule to compare with
    eager_only: bool = False


def _case(name: str, model: str, config: str, options: dict[str, Any], **more: Any) -> Case:
    extra = more.pop("extra", {})
    return Case(name, model, config, options | extra, **more)


def rope(kind: str, parameters: dict[str, Any], **extra: Any) -> Case:
    extra = {"rope_parameters": parameters, "max_position_embeddings": 32} | extra
    return _case(f"llama-{kind}", "LlamaForCausalLM", "LlamaConfig", DECODER, extra=extra)


TEXTS = [
    _case("bert", "BertModel", "BertConfig", TEXT),
    _case("bert-mlm-tanh", "BertForMaskedLM", "BertConfig", TEXT, extra={"hidden_act": "gelu_new"}),
    _case("bert-untied", "BertForMaskedLM", "BertConfig", TEXT, extra={"tie_word_embeddings": False}),
    _case("bert-sequence-relu", "BertForSequenceClassification", "BertConfig", TEXT, extra={"hidden_act": "relu"}),
    _case("bert-token-silu", "BertForTokenClassification", "BertConfig", TEXT, extra={"hidden_act": "silu"}),
    _case("roberta", "RobertaForMaskedLM", "RobertaConfig", TEXT),
    _case("roberta-sequence", "RobertaForSequenceClassification", "RobertaConfig", TEXT),
    _case("xlm-roberta", "XLMRobertaModel", "XLMRobertaConfig", TEXT, extra={"layer_norm_eps": 1e-5}),
    _case("distilbert", "DistilBertForMaskedLM", "DistilBertConfig", DISTIL),
    _case("distilbert-sequence", "DistilBertForSequenceClassification", "DistilBertConfig", DISTIL),
    _case("albert", "AlbertForMaskedLM", "AlbertConfig", TEXT, extra={"embedding_size": 11}),
    _case("albert-groups", "AlbertModel", "AlbertConfig", TEXT,
          extra={"embedding_size": 11, "num_hidden_groups": 3, "inner_group_num": 2}),
    _case("gpt2", "GPT2LMHeadModel", "GPT2Config", GPT2),
    _case("gpt2-model-scaled", "GPT2Model", "GPT2Config", GPT2, extra={"scale_attn_by_inverse_layer_idx": True}),
    _case("gpt2-sequence", "GPT2ForSequenceClassification", "GPT2Config", GPT2,
          extra={"pad_token_id": 1, "n_inner": 31, "scale_attn_weights": False}, eager_only=True),
    _case("bloom", "BloomForCausalLM", "BloomConfig", {"hidden_size": 24, "n_layer": 3, "n_head": 3, "vocab_size": 53}),
    _case("llama", "LlamaForCausalLM", "LlamaConfig", DECODER),
    _case("llama-biases", "LlamaModel", "LlamaConfig", DECODER,
          extra={"attention_bias": True, "mlp_bias": True, "head_dim": 10, "rms_norm_eps": 1e-3}),
    _case("llama-tied", "LlamaForCausalLM", "LlamaConfig", DECODER,
          extra={"tie_word_embeddings": True, "num_key_value_heads": 1}),
    _case("llama-sequence", "LlamaForSequenceClassification", "LlamaConfig", DECODER, extra={"pad_token_id": 1}),
    rope("linear", {"rope_type": "linear", "rope_theta": 5000.0, "factor": 3.0}),
    rope("dynamic", {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}, max_position_embeddings=7),
    rope("yarn", YARN),
    rope("yarn-options", YARN | {"beta_fast": 16, "beta_slow": 2, "mscale": 0.7, "mscale_all_dim": 1.1,
                                 "truncate": False}),
    rope("longrope", LONG),
    rope("longrope-short", LONG | {"original_max_position_embeddings": 16}),
    rope("llama3", LLAMA3),
    _case("mistral-window", "MistralForCausalLM", "MistralConfig", DECODER, extra={"sliding_window": 5}),
    _case("mistral", "MistralModel", "MistralConfig", DECODER, extra={"sliding_window": None, "head_dim": 10}),
    _case("qwen2", "Qwen2ForCausalLM", "Qwen2Config", DECODER),
    _case("qwen2-window", "Qwen2Model", "Qwen2Config", DECODER,
          extra={"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    _case("qwen3", "Qwen3ForCausalLM", "Qwen3Config", DECODER, extra={"head_dim": 10, "attention_bias": True}),
    _case("gemma", "GemmaForCausalLM", "GemmaConfig", DECODER, extra={"head_dim": 10, "pad_token_id": 1}),
    _case("gemma2", "Gemma2ForCausalLM", "Gemma2Config", DECODER,
          extra={"head_dim": 10, "sliding_window": 5, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
                 "query_pre_attn_scalar": 7, "pad_token_id": 1}, eager_only=True),
    _case("gemma3", "Gemma3ForCausalLM", "Gemma3TextConfig", DECODER,
          extra={"head_dim": 10, "sliding_window": 5, "pad_token_id": 1,
                 "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
    _case("clip-text", "CLIPTextModelWithProjection", "CLIPTextConfig", TEXT,
          extra={"max_position_embeddings": 31, "eos_token_id": 47, "projection_dim": 13}),
    _case("clip-text-old", "CLIPTextModel", "CLIPTextConfig", TEXT,
          extra={"max_position_embeddings": 31, "eos_token_id": 2, "hidden_act": "gelu"}),
    _case("siglip-text", "SiglipTextModel", "SiglipTextConfig", TEXT, extra={"max_position_embeddings": 31}),
]  # fmt: skip
INTERPOLATED = {"interpolate_pos_encoding": True}
IMAGES = [
    _case("vit", "ViTForImageClassification", "ViTConfig", IMAGE, extra={"num_labels": 5}),
    _case("vit-resized", "ViTModel", "ViTConfig", IMAGE, extra={"qkv_bias": False}, size=(42, 63), call=INTERPOLATED),
    _case("deit", "DeiTForImageClassificationWithTeacher", "DeiTConfig", IMAGE, extra={"num_labels": 5}),
    _case("deit-model", "DeiTModel", "DeiTConfig", IMAGE, size=(21, 42), call=INTERPOLATED),
    _case("dinov2", "Dinov2Model", "Dinov2Config", DINO),
    _case("dinov2-larger", "Dinov2Model", "Dinov2Config", DINO, extra={"layerscale_value": 0.3}, size=(49, 66)),
    _case("dinov2-gated", "Dinov2ForImageClassification", "Dinov2Config", DINO,
          extra={"use_swiglu_ffn": True, "num_labels": 5}, size=(21, 28)),
    _case("dinov2-registers", "Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", DINO,
          extra={"num_register_tokens": 3, "num_labels": 5}, size=(21, 49)),
    _case("clip-vision", "CLIPVisionModelWithProjection", "CLIPVisionConfig", IMAGE, extra={"projection_dim": 13}),
    _case("clip-vision-gelu", "CLIPVisionModel", "CLIPVisionConfig", IMAGE, extra={"hidden_act": "gelu"},
          size=(42, 28), call=INTERPOLATED),
    _case("siglip-vision", "SiglipVisionModel", "SiglipVisionConfig", IMAGE, size=(28, 49), call=INTERPOLATED),
]  # fmt: skip
AUDIO = [
    _case("whisper", "WhisperModel", "WhisperConfig", WHISPER, inner="encoder"),
    _case("whisper-generation", "WhisperForConditionalGeneration", "WhisperConfig", WHISPER, inner="model.encoder"),
]
CASES = TEXTS + IMAGES + AUDIO


def build(case: Case, folder, *, seed: int = 5):
    """The model of transformers with random parameters, saved in the folder."""
    import torch
    import transformers

    config = getattr(transformers, case.config)(**case.options)
    config._attn_implementation = "eager"
    model = getattr(transformers, case.model)(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            width = parameter.shape[-1] if parameter.ndim > 1 else 24
            if parameter.ndim == 1 and ("norm" in name.lower() or "ln_" in name):
                parameter.add_(0.2 * noise)  # gains stay near one
            else:
                parameter.copy_(1.5 * noise / width**0.5)
    model.save_pretrained(folder)
    return model


def inputs(case: Case, dtype=np.float32) -> dict[str, np.ndarray]:
    """A batch of two: texts of which the second is shorter, images or spectrograms."""
    rng = np.random.default_rng(11)
    if case in AUDIO:
        return {"input_features": rng.normal(size=(2, 7, 38)).astype(dtype)}
    if case in IMAGES:
        return {"pixel_values": rng.normal(size=(2, 3, *case.size)).astype(dtype)}
    ids, mask = rng.integers(3, 47, (2, 13)), np.ones((2, 13), np.int64)
    ids[:, 8] = 47
    ids[1, 9:], mask[1, 9:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}
