"""Gemma 1 to 3 (text): gains stored minus one, scaled embeddings, softcaps, norms around each sublayer.

Sources: Gemma Team, arXiv 2403.08295 (2024), arXiv 2408.00118 (2024), arXiv 2503.19786 (2025).
"""

from __future__ import annotations

import math

from headwise.models.encoder import Norm, Rope
from headwise.models.families.architecture import Architecture
from headwise.models.families.decoder import DecoderOptions, build_decoder
from headwise.models.families.options import block_windows, read_activation, read_rope
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("gemma", "gemma2", "gemma3_text")

_SLIDING_PERIOD = {"gemma2": 2, "gemma3_text": 6}  # every second, every sixth layer attends to everything


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    family = config.get("model_type")
    config.expect("use_bidirectional_attention", None, False)
    if family == "gemma3_text":  # transformers reads this option and does not use it
        config.expect("attn_logit_softcapping", None)
    first = family == "gemma"
    bias = bool(config.get("attention_bias", False))
    types = _layer_types(config, family)
    options = DecoderOptions(
        activation=_activation(config, family),
        norm=Norm(config.number("rms_norm_eps", 1e-6), rms=True, offset=config.number("norm_offset", 1.0)),
        ropes=_ropes(config, family, types),
        windows=block_windows(config, len(types), None if first else config.count("sliding_window", 4096)),
        biases=(bias, bias, False),
        tied=True,
        scale=None if first else config.number("query_pre_attn_scalar", 256) ** -0.5,
        softcap=config.get("attn_logit_softcapping", 50.0 if family == "gemma2" else None),
        final_softcap=config.get("final_logit_softcapping", 30.0 if family == "gemma2" else None),
        embedding_scale=math.sqrt(config.count("hidden_size")),
        head_norms=family == "gemma3_text",
        branch_norms=not first,
    )
    return build_decoder(family, checkpoint, config, options)


def _activation(config: Config, family: str) -> str:
    """Always the tanh form: the first files of Gemma 1 say ``gelu`` and mean it too."""
    config.ignore("hidden_act", "hidden_activation")
    name = "hidden_activation" if config.get("hidden_activation", None) is not None else "hidden_act"
    activation = read_activation(config, name, "gelu_pytorch_tanh")
    return "gelu_tanh" if family == "gemma" and activation == "gelu" else activation


def _layer_types(config: Config, family: str) -> list[str]:
    """``layer_types``, by the family's period if the file has none."""
    depth = config.count("num_hidden_layers")
    period = config.get("sliding_window_pattern", _SLIDING_PERIOD.get(family, 1))
    if family == "gemma" or (types := config.get("layer_types", None)) is None:
        types = ["full_attention" if (i + 1) % period == 0 else "sliding_attention" for i in range(depth)]
        config.set("layer_types", types)
    return list(types)


def _ropes(config: Config, family: str, types: list[str]) -> tuple[Rope, ...]:
    """One rotary embedding for all layers; Gemma 3's sliding layers have their own base."""
    width, longest = config.count("head_dim", 256), config.count("max_position_embeddings", 8192)
    if family != "gemma3_text":
        return (read_rope(config, width, max_positions=longest),) * len(types)
    local = float(config.get("rope_local_base_freq", 10000.0))
    by_type = {
        "full_attention": read_rope(config, width, theta=1e6, layer_type="full_attention", max_positions=longest),
        "sliding_attention": read_rope(
            config, width, theta=local, layer_type="sliding_attention", max_positions=longest
        ),
    }
    if not config.get("rope_parameters", None):  # older files: the base and its scaling concern the full layers only
        by_type["sliding_attention"] = Rope(width, local, max_positions=longest)
    return tuple(by_type[name] for name in types)
