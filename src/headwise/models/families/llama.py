"""Llama, Mistral, Qwen2 and Qwen3, and models with their layout, such as SmolLM2.

Sources: Touvron et al., arXiv 2302.13971 (2023); Jiang et al., arXiv 2310.06825 (2023); Yang et al., arXiv 2407.10671
(2024); Yang et al., arXiv 2505.09388 (2025).
"""

from __future__ import annotations

from headwise.models.encoder import Norm
from headwise.models.families.architecture import Architecture
from headwise.models.families.decoder import DecoderOptions, build_decoder, head_width
from headwise.models.families.options import block_windows, read_activation, read_rope
from headwise.models.files import Checkpoint, Config

_MAX_POSITIONS = {"llama": 2048, "mistral": 131072, "qwen2": 32768, "qwen3": 32768}
MODEL_TYPES = tuple(_MAX_POSITIONS)


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    family = config.get("model_type")
    depth = config.count("num_hidden_layers")
    width = config.count("head_dim", 128) if family == "qwen3" else head_width(config)
    rope = read_rope(config, width, max_positions=config.count("max_position_embeddings", _MAX_POSITIONS[family]))
    options = DecoderOptions(
        activation=read_activation(config, default="silu"),
        norm=Norm(config.number("rms_norm_eps", 1e-6), rms=True),
        ropes=(rope,) * depth,
        windows=_windows(config, family, depth),
        biases=_biases(config, family),
        head_norms=family == "qwen3",
    )
    return build_decoder(family, checkpoint, config, options)


def _windows(config: Config, family: str, depth: int) -> tuple[tuple[int, int] | None, ...]:
    """The window of each block; older files of Qwen state the first block with a window."""
    if family == "llama":
        return (None,) * depth
    if family == "mistral":
        return block_windows(config, depth, config.get("sliding_window", 4096))
    window = config.get("sliding_window", 4096) if config.get("use_sliding_window", False) else None
    first = config.get("max_window_layers", 28)
    if config.get("layer_types", None) or window is None:
        return block_windows(config, depth, window)
    return tuple((window - 1, 0) if i >= first else None for i in range(depth))


def _biases(config: Config, family: str) -> tuple[bool, bool, bool]:
    """Whether queries, keys and values, the output projection and the MLP have biases."""
    if family == "mistral":
        return False, False, False
    attention = bool(config.get("attention_bias", False))
    if family == "qwen2":  # whatever the file says
        return True, False, False
    return attention, attention, family == "llama" and bool(config.get("mlp_bias", False))
