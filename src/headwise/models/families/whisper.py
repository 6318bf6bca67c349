"""Whisper's encoder: a pre-norm encoder of log-mel spectrograms.

Source: Radford et al., arXiv 2212.04356 (2022).
"""

from __future__ import annotations

from headwise.models.encoder import AttentionOptions, AudioEmbedding, BlockOptions, Network, Norm, TrunkOptions
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.options import read_activation
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("whisper",)

_NORM = Norm(1e-5)  # no option of the configuration
_UNUSED = (r"(model\.)?decoder\..*", r"proj_out\..*", r"projector\..*", r"classifier\..*", r"layer_weights")
_OTHERS = ("activation_dropout", "apply_spec_augment", "classifier_proj_size", "encoder_ffn_dim", "encoder_layerdrop",
           "init_std", "is_encoder_decoder", "mask_feature_length", "mask_feature_min_masks", "mask_feature_prob",
           "mask_time_length", "mask_time_min_masks", "mask_time_prob", "max_length", "max_target_positions",
           "median_filter_width", "num_hidden_layers", "use_weighted_layer_sum")  # fmt: skip
_DECODER = ("decoder_attention_heads", "decoder_ffn_dim", "decoder_layerdrop", "decoder_layers",
            "decoder_start_token_id", "scale_embedding")  # fmt: skip


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options of the encoder, and place its parameters."""
    width, depth = config.count("d_model", 384), config.count("encoder_layers", 4)
    heads = config.divisor("encoder_attention_heads", 6, "d_model", width)
    channels, length = config.count("num_mel_bins", 80), config.count("max_source_positions", 1500)
    config.ignore(*_OTHERS, *_DECODER)
    layout = Layout.find(checkpoint, "conv1.weight", "model.encoder.", "encoder.")
    for i, inputs in enumerate((channels, width), start=1):
        layout.linear(f"embedding.convolution_{i}", f"conv{i}", shape=(width, 3 * inputs))
    layout.array("embedding.position", "embed_positions.weight")
    for i in range(depth):
        _place_block(layout, f"blocks.{i}", f"layers.{i}")
    layout.norm("norm", "layer_norm")
    activation = read_activation(config, "activation_function")
    block = BlockOptions(AttentionOptions(heads, heads), activation, _NORM)
    network = Network(AudioEmbedding(channels, 2 * length), TrunkOptions((block,) * depth, norm=_NORM))
    names = layout.modules("layers.{}.self_attn", depth)
    return Architecture("whisper", "audio", network, layout.sources, names, _UNUSED)


def _place_block(layout: Layout, block: str, layer: str) -> None:
    for name, tensor in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("output", "out_proj")):
        layout.linear(f"{block}.attention.{name}", f"{layer}.self_attn.{tensor}", bias=name != "key")
    layout.norm(f"{block}.norm_1", f"{layer}.self_attn_layer_norm")
    layout.norm(f"{block}.norm_2", f"{layer}.final_layer_norm")
    layout.linear(f"{block}.mlp.hidden", f"{layer}.fc1")
    layout.linear(f"{block}.mlp.output", f"{layer}.fc2")
