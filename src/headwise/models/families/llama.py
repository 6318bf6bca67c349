"""Llama, and models with its layout such as SmolLM2.

Source: Touvron et al., arXiv 2302.13971 (2023).
"""

from __future__ import annotations

from headwise.models.encoder.norms import Norm
from headwise.models.families.architecture import Architecture
from headwise.models.families.decoder import DecoderOptions, build_decoder, head_width
from headwise.models.families.options import read_activation, read_rope
from headwise.models.files.checkpoint import Checkpoint
from headwise.models.files.config import Config

MODEL_TYPES = ("llama",)


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    depth = config.count("num_hidden_layers")
    rope = read_rope(config, head_width(config), max_positions=config.count("max_position_embeddings", 2048))
    attention_bias = bool(config.get("attention_bias", False))
    options = DecoderOptions(
        activation=read_activation(config, default="silu"),
        norm=Norm(config.number("rms_norm_eps", 1e-6), rms=True),
        ropes=(rope,) * depth,
        windows=(None,) * depth,
        biases=(attention_bias, attention_bias, bool(config.get("mlp_bias", False))),
    )
    return build_decoder("llama", checkpoint, config, options)
