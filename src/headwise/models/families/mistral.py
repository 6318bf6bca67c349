"""Mistral: Llama's layout with a sliding window.

Source: Jiang et al., arXiv 2310.06825 (2023).
"""

from __future__ import annotations

from headwise.models.encoder.norms import Norm
from headwise.models.families.architecture import Architecture
from headwise.models.families.decoder import DecoderOptions, build_decoder, head_width
from headwise.models.families.options import block_windows, read_activation, read_rope
from headwise.models.files.checkpoint import Checkpoint
from headwise.models.files.config import Config

MODEL_TYPES = ("mistral",)


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    depth = config.count("num_hidden_layers")
    rope = read_rope(config, head_width(config), max_positions=config.count("max_position_embeddings", 131072))
    options = DecoderOptions(
        activation=read_activation(config, default="silu"),
        norm=Norm(config.number("rms_norm_eps", 1e-6), rms=True),
        ropes=(rope,) * depth,
        windows=block_windows(config, depth, config.get("sliding_window", 4096)),
    )
    return build_decoder("mistral", checkpoint, config, options)
