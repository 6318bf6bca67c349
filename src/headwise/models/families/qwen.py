"""Qwen2 and Qwen3: Llama's layout with biases of queries, keys and values, or with norms of each head.

Sources: Yang et al., arXiv 2407.10671 (2024); Yang et al., arXiv 2505.09388 (2025).
"""

from __future__ import annotations

from headwise.models.encoder.norms import Norm
from headwise.models.families.architecture import Architecture
from headwise.models.families.decoder import DecoderOptions, build_decoder, head_width
from headwise.models.families.options import block_windows, read_activation, read_rope
from headwise.models.files.checkpoint import Checkpoint
from headwise.models.files.config import Config

MODEL_TYPES = ("qwen2", "qwen3")


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    family = config.get("model_type")
    depth = config.count("num_hidden_layers")
    width = head_width(config) if family == "qwen2" else config.count("head_dim", 128)
    rope = read_rope(config, width, max_positions=config.count("max_position_embeddings", 32768))
    attention_bias = bool(config.get("attention_bias", False))
    options = DecoderOptions(
        activation=read_activation(config, default="silu"),
        norm=Norm(config.number("rms_norm_eps", 1e-6), rms=True),
        ropes=(rope,) * depth,
        windows=_windows(config, depth),
        biases=(True, False, False) if family == "qwen2" else (attention_bias, attention_bias, False),
        head_norms=family == "qwen3",
    )
    return build_decoder(family, checkpoint, config, options)


def _windows(config: Config, depth: int) -> tuple[tuple[int, int] | None, ...]:
    """Older files say from which layer on the window applies."""
    window = config.get("sliding_window", 4096) if config.get("use_sliding_window", False) else None
    first = config.get("max_window_layers", 28)
    if config.get("layer_types", None) or window is None:
        return block_windows(config, depth, window)
    return tuple((window - 1, 0) if i >= first else None for i in range(depth))
