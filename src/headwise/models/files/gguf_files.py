"""Reading .gguf files, the format of llama.cpp: metadata, tensors (quantised ones too), and the tokeniser inside.

Names of options and tensors are translated to those of transformers, so that the families need to know only one layout.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headwise.errors import CheckpointError, require_extra
from headwise.models.files.checkpoint import Checkpoint, Tensor
from headwise.shapes import Array

# the architecture of the file: model type of transformers, and options that follow from how the converter writes it
_ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"rope_interleaved": True}),  # rows of queries and keys are permuted so that neighbours pair
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "gemma": ("gemma", {"norm_offset": 0.0}),  # the one is added to the gains
    "gemma2": ("gemma2", {"norm_offset": 0.0}),
    "gemma3": ("gemma3_text", {"norm_offset": 0.0}),
}
_OPTIONS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "rope.freq_base": "rope_theta",
    "vocab_size": "vocab_size",
}
_ROPE_SCALING = {
    "rope.scaling.type": "rope_type",
    "rope.scaling.factor": "factor",
    "rope.scaling.original_context_length": "original_max_position_embeddings",
    "rope.scaling.attn_factor": "attention_factor",
    "rope.scaling.yarn_beta_fast": "beta_fast",
    "rope.scaling.yarn_beta_slow": "beta_slow",
}
_WITHOUT_EFFECT = {"attention.value_length", "rope.dimension_count", "rope.scaling.finetuned"}
_TENSORS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_BRANCH_NORMS = {  # of Gemma 2 and 3, which have four norms in a block
    "ffn_norm": "pre_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_ROPE_FACTORS = "rope_freqs.weight"


def read_gguf(path: Path) -> Checkpoint:
    """Read the metadata of a .gguf file; tensors are de-quantised when they are read.

    Raises CheckpointError if the file is corrupt, or its architecture or one of its options cannot be loaded;
    MissingExtraError if the library gguf is not installed.
    """
    with require_extra("Loading a .gguf file", "gguf", "models"):
        import gguf
    try:
        reader = _bounded_reader(path)
        metadata = {name: field.contents() for name, field in reader.fields.items()}
    except (ValueError, IndexError, KeyError, OverflowError, TypeError) as error:
        raise CheckpointError(f"{path}: corrupt, or no .gguf file ({error}).") from None
    architecture = metadata.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise CheckpointError(
            f"{path}: general.architecture: expected one of {', '.join(_ARCHITECTURES)}; got {architecture!r}."
        )
    config = _config(path, architecture, metadata)
    names = _TENSORS | (_BRANCH_NORMS if architecture in ("gemma2", "gemma3") else {})
    tensors = {}
    for tensor in reader.tensors:
        read = _reader(tensor, gguf.quants.dequantize)
        if tensor.name == _ROPE_FACTORS:
            config["rope_factors"] = read()
        else:
            tensors[_tensor_name(tensor.name, names)] = Tensor(tuple(map(int, reversed(tensor.shape))), read)
    config["tie_word_embeddings"] = "lm_head.weight" not in tensors
    if architecture == "llama":
        config["attention_bias"] = "model.layers.0.self_attn.q_proj.bias" in tensors
    return Checkpoint(path, config, tensors, {k: v for k, v in metadata.items() if k.startswith("tokenizer.")})


def _bounded_reader(path: Path) -> Any:
    """A reader that raises ValueError at the end of the file; the library's would go on counting what is not there."""
    import gguf

    class Reader(gguf.GGUFReader):
        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
                raise ValueError("it ends in the middle of its header")
            return super()._get(offset, dtype, count, override_order)

    return Reader(path)


def _config(path: Path, architecture: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Options by the names of transformers; an option of the architecture that is not known here is refused."""
    model_type, options = _ARCHITECTURES[architecture]
    config = {"model_type": model_type, "architectures": ["ForCausalLM"], **options}
    scaling = {}
    for name, value in metadata.items():
        if not name.startswith(architecture + "."):
            continue
        local = name.removeprefix(architecture + ".")
        if local in _OPTIONS:
            config[_OPTIONS[local]] = value
        elif local in _ROPE_SCALING:
            scaling[_ROPE_SCALING[local]] = value
        elif local not in _WITHOUT_EFFECT and value:
            raise CheckpointError(f"{path}: unknown option {name} = {value!r}, which may change the computation.")
    if scaling.get("rope_type", "none") != "none":
        config["rope_scaling"] = scaling
    dimensions = metadata.get(f"{architecture}.rope.dimension_count")
    width = config.get("head_dim") or config.get("hidden_size", 0) // max(config.get("num_attention_heads", 1), 1)
    if dimensions is not None and width and dimensions != width:
        config["partial_rotary_factor"] = dimensions / width
    padding = metadata.get("tokenizer.ggml.padding_token_id")
    return config | {"pad_token_id": padding, "eos_token_id": metadata.get("tokenizer.ggml.eos_token_id")}


def _tensor_name(name: str, names: Mapping[str, str]) -> str:
    """The name in transformers: ``blk.3.attn_q.weight`` is ``model.layers.3.self_attn.q_proj.weight``."""
    match = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", name)
    if match is None or match[2] not in names:
        return name  # the family reports it as unknown
    layer = "" if match[1] is None else f"model.layers.{match[1]}."
    return f"{layer}{names[match[2]]}.{match[3]}"


def _reader(tensor: Any, dequantize: Callable[..., Array]) -> Callable[[], Array]:
    def read() -> Array:
        shape = tuple(map(int, reversed(tensor.shape)))
        return np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), np.float32).reshape(shape)

    return read
