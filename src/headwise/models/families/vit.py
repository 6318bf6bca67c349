"""ViT and DeiT: pre-norm encoders of images with a class token, DeiT with a distillation token too.

Sources: Dosovitskiy et al., arXiv 2010.11929 (2020); Touvron et al., arXiv 2012.12877 (2020).
"""

from __future__ import annotations

from headwise.models.encoder import AttentionPooling, Head, Network, Norm
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.options import place_attention, read_activation, read_image_embedding, read_trunk
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("vit", "deit")

_UNUSED = (r".*mask_token", r"decoder\..*")  # of masked image modelling


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    family = config.get("model_type")
    norm = Norm(config.number("layer_norm_eps", 1e-12))
    layout = Layout.find(checkpoint, "embeddings.cls_token", f"{family}.", "")
    prefix = ("class_token",) if family == "vit" else ("class_token", "distillation_token")
    patches = "embeddings.patch_embeddings.projection"
    embedding = read_image_embedding(config, layout, norm, patches, prefix=prefix, positioned=prefix)
    _place(layout, config)
    trunk = read_trunk(config, norm, read_activation(config))
    config.ignore("pooler_output_size")
    heads = _heads(layout, config)
    averages = {"logits": ("cls_logits", "distillation_logits")} if "cls_logits" in heads else {}
    network = Network(embedding, trunk, heads, averages)
    names = layout.modules("encoder.layer.{}.attention.attention", len(trunk.blocks))
    return Architecture(family, "image", network, layout.sources, names, _UNUSED, tied_last=False)


def _place(layout: Layout, config: Config) -> None:
    """Prefix tokens, positions, and blocks."""
    width = config.count("hidden_size", 768)
    layout.array("embedding.class_token", "embeddings.cls_token", shape=(width,))
    if config.get("model_type") == "deit":
        layout.array("embedding.distillation_token", "embeddings.distillation_token", shape=(width,))
    layout.array("embedding.position", "embeddings.position_embeddings", shape=(-1, width))
    for i in range(config.count("num_hidden_layers", 12)):
        block, layer = f"blocks.{i}", f"encoder.layer.{i}"
        place_attention(layout, block, layer, qkv_bias=bool(config.get("qkv_bias", True)))
        layout.norm(f"{block}.norm_1", f"{layer}.layernorm_before")
        layout.norm(f"{block}.norm_2", f"{layer}.layernorm_after")
        layout.linear(f"{block}.mlp.hidden", f"{layer}.intermediate.dense")
        layout.linear(f"{block}.mlp.output", f"{layer}.output.dense")
    layout.norm("norm", "layernorm")


def _heads(layout: Layout, config: Config) -> dict[str, Head | AttentionPooling]:
    heads: dict[str, Head | AttentionPooling] = {}
    activation = read_activation(config, "pooler_act", "tanh")
    if layout.has("pooler.dense.weight"):
        layout.linear("heads.pooler_output.dense", "pooler.dense")
        heads["pooler_output"] = Head(pool="first", activation=activation)
    if layout.output("classifier"):
        heads["logits"] = Head(pool="first")
    if layout.output("cls_classifier", "cls_logits"):
        layout.output("distillation_classifier", "distillation_logits")
        heads |= {"cls_logits": Head(pool="first"), "distillation_logits": Head(pool="second")}
    return heads
