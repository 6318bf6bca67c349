"""Small checkpoints with random weights, written without any framework."""

import json

import numpy as np
from safetensors.numpy import save_file

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "intermediate_size": 17, "vocab_size": 19,
    "max_position_embeddings": 64, "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}  # fmt: skip
BERT = {
    "model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 12,
    "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 17, "vocab_size": 19,
    "max_position_embeddings": 23, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
}  # fmt: skip
VIT = {
    "model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 3, "intermediate_size": 17, "image_size": 10, "patch_size": 5, "num_channels": 3,
    "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "qkv_bias": True,
}  # fmt: skip


def llama_shapes():
    shapes = {"model.embed_tokens.weight": (19, 12), "model.norm.weight": (12,), "lm_head.weight": (19, 12)}
    for i in range(2):
        layer = f"model.layers.{i}"
        shapes |= {f"{layer}.{name}.weight": (12,) for name in ("input_layernorm", "post_attention_layernorm")}
        shapes |= {f"{layer}.self_attn.{name}.weight": shape for name, shape in (
            ("q_proj", (8, 12)), ("k_proj", (4, 12)), ("v_proj", (4, 12)), ("o_proj", (12, 8)))}  # fmt: skip
        shapes |= {f"{layer}.mlp.{name}.weight": shape for name, shape in (
            ("gate_proj", (17, 12)), ("up_proj", (17, 12)), ("down_proj", (12, 17)))}  # fmt: skip
    return shapes


def _linear(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name):
    return {f"{name}.weight": (12,), f"{name}.bias": (12,)}


def bert_shapes():
    tables = {"word": 19, "position": 23, "token_type": 2}
    shapes = {f"bert.embeddings.{name}_embeddings.weight": (rows, 12) for name, rows in tables.items()}
    shapes |= _norm("bert.embeddings.LayerNorm") | _linear("bert.pooler.dense", 12, 12) | _linear("classifier", 5, 12)
    for i in range(2):
        layer = f"bert.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            shapes |= _linear(f"{layer}.attention.self.{name}", 12, 12)
        shapes |= _linear(f"{layer}.attention.output.dense", 12, 12) | _norm(f"{layer}.attention.output.LayerNorm")
        shapes |= _linear(f"{layer}.intermediate.dense", 17, 12) | _linear(f"{layer}.output.dense", 12, 17)
        shapes |= _norm(f"{layer}.output.LayerNorm")
    return shapes


def vit_shapes():
    shapes = {"vit.embeddings.cls_token": (1, 1, 12), "vit.embeddings.position_embeddings": (1, 5, 12),
              "vit.embeddings.patch_embeddings.projection.weight": (12, 3, 5, 5),
              "vit.embeddings.patch_embeddings.projection.bias": (12,)}  # fmt: skip
    shapes |= _norm("vit.layernorm") | _linear("classifier", 5, 12)
    for i in range(2):
        layer = f"vit.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            shapes |= _linear(f"{layer}.attention.attention.{name}", 12, 12)
        shapes |= _linear(f"{layer}.attention.output.dense", 12, 12)
        shapes |= _linear(f"{layer}.intermediate.dense", 17, 12) | _linear(f"{layer}.output.dense", 12, 17)
        shapes |= _norm(f"{layer}.layernorm_before") | _norm(f"{layer}.layernorm_after")
    return shapes


SHAPES = {"llama": llama_shapes, "bert": bert_shapes, "vit": vit_shapes}
CONFIGS = {"llama": LLAMA, "bert": BERT, "vit": VIT}


def random_tensors(family, dtype=np.float64, seed=3):
    rng = np.random.default_rng(seed)
    return {name: (0.7 * rng.normal(size=shape)).astype(dtype) for name, shape in SHAPES[family]().items()}


def write_folder(folder, family, tensors=None, **options):
    """A folder as transformers saves it; an option of None is left out of the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {name: value for name, value in (CONFIGS[family] | options).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = random_tensors(family) if tensors is None else tensors
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / "model.safetensors")
    return folder


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "dog", "sat", "##s", "##ing", "run", "a", ".", "[MASK]", "e",
         "x", "y", "z", "w"]  # fmt: skip


def write_text_model(folder, tensors=None, **options):
    """A BERT classifier of five classes with a vocabulary of nineteen words."""
    write_folder(folder, "bert", tensors, pad_token_id=0, **options)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    return folder


def write_image_model(folder, **options):
    """A vision transformer of five classes for images of 10 × 10 pixels in 2 × 2 patches."""
    write_folder(folder, "vit", **options)
    processor = {"size": {"height": 10, "width": 10}, "do_normalize": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder
