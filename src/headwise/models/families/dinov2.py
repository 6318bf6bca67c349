"""DINOv2, with and without registers: a pre-norm encoder of images with LayerScale.

Sources: Oquab et al., arXiv 2304.07193 (2023); Darcet et al., arXiv 2309.16588 (2023).
"""

from __future__ import annotations

from headwise.models.encoder import AttentionPooling, Head, Network, Norm
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.options import place_attention, read_activation, read_image_embedding, read_trunk
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("dinov2", "dinov2_with_registers")

_BACKBONE = ("apply_layernorm", "drop_path_rate", "layerscale_value", "mlp_ratio", "out_features", "out_indices",
             "reshape_hidden_states", "stage_names", "use_mask_token")  # fmt: skip


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    family = config.get("model_type")
    with_registers = family == "dinov2_with_registers"
    norm = Norm(config.number("layer_norm_eps", 1e-6))
    layout = Layout.find(checkpoint, "embeddings.cls_token", "dinov2_with_registers.", "dinov2.", "")
    registers = config.count("num_register_tokens", 4) if with_registers else 0
    embedding = read_image_embedding(
        config,
        layout,
        norm,
        "embeddings.patch_embeddings.projection",
        prefix=("class_token", "register_tokens") if with_registers else ("class_token",),
        positioned=("class_token",),
        interpolation="bicubic_antialias" if with_registers else "bicubic",
        patch_size=16 if with_registers else 14,
    )
    config.ignore(*_BACKBONE)
    gated = bool(config.get("use_swiglu_ffn", False))
    activation = read_activation(config)
    trunk = read_trunk(config, norm, "silu" if gated else activation)
    _place(layout, config, registers, gated)
    network = Network(embedding, trunk, _heads(layout, registers))
    names = layout.modules("encoder.layer.{}.attention.attention", len(trunk.blocks))
    return Architecture(family, "image", network, layout.sources, names, (r".*mask_token",), tied_last=False)


def _place(layout: Layout, config: Config, registers: int, gated: bool) -> None:
    """Prefix tokens, positions, and blocks."""
    width = config.count("hidden_size", 768)
    layout.array("embedding.class_token", "embeddings.cls_token", shape=(width,))
    layout.array("embedding.position", "embeddings.position_embeddings", shape=(-1, width))
    if registers:
        layout.array("embedding.register_tokens", "embeddings.register_tokens", shape=(registers, width))
    for i in range(config.count("num_hidden_layers", 12)):
        block, layer = f"blocks.{i}", f"encoder.layer.{i}"
        place_attention(layout, block, layer, qkv_bias=bool(config.get("qkv_bias", True)))
        layout.norm(f"{block}.norm_1", f"{layer}.norm1")
        layout.norm(f"{block}.norm_2", f"{layer}.norm2")
        layout.array(f"{block}.attention_scale", f"{layer}.layer_scale1.lambda1")
        layout.array(f"{block}.mlp_scale", f"{layer}.layer_scale2.lambda1")
        if gated:
            _place_gated_mlp(layout, f"{block}.mlp", f"{layer}.mlp", _gated_width(width, config.get("mlp_ratio", 4)))
        else:
            layout.linear(f"{block}.mlp.hidden", f"{layer}.mlp.fc1")
            layout.linear(f"{block}.mlp.output", f"{layer}.mlp.fc2")
    layout.norm("norm", "layernorm")


def _gated_width(width: int, ratio: float) -> int:
    """Two thirds of the usual hidden width, up to a multiple of 8."""
    return (int(int(width * ratio) * 2 / 3) + 7) // 8 * 8


def _place_gated_mlp(layout: Layout, mlp: str, tensor: str, hidden: int) -> None:
    """The gate is the first half of the rows."""
    layout.linear(f"{mlp}.gate", f"{tensor}.weights_in", rows=slice(0, hidden))
    layout.linear(f"{mlp}.hidden", f"{tensor}.weights_in", rows=slice(hidden, 2 * hidden))
    layout.linear(f"{mlp}.output", f"{tensor}.weights_out")


def _heads(layout: Layout, registers: int) -> dict[str, Head | AttentionPooling]:
    heads: dict[str, Head | AttentionPooling] = {"pooler_output": Head(pool="first")}
    if layout.output("classifier"):
        heads["logits"] = Head(pool="first_and_mean", prefix=1 + registers)
    return heads
