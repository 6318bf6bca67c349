"""SigLIP's two towers: encoders of images and of texts without class tokens; attention pools the image's tokens.

Source: Zhai et al., arXiv 2303.15343 (2023).
"""

from __future__ import annotations

from headwise.models.encoder import AttentionPooling, Head, Network, Norm, TextEmbedding
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.clip import place_blocks, place_text_embedding
from headwise.models.families.options import read_activation, read_image_embedding, read_trunk
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("siglip", "siglip_vision_model", "siglip_text_model")
TWO_TOWERS = ("siglip",)

_UNUSED = (r".*position_ids", r"logit_scale", r"logit_bias")


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """One tower: the options, and the places of its parameters."""
    if config.get("model_type") == "siglip_vision_model":
        return _build_vision(checkpoint, config)
    return _build_text(checkpoint, config)


def _build_vision(checkpoint: Checkpoint, config: Config) -> Architecture:
    norm = Norm(config.number("layer_norm_eps", 1e-6))
    layout = Layout.find(checkpoint, "embeddings.patch_embedding.weight", "vision_model.", "")
    embedding = read_image_embedding(config, layout, norm, "embeddings.patch_embedding", prefix=(), positioned=())
    layout.array("embedding.position", "embeddings.position_embedding.weight")
    activation = read_activation(config, default="gelu_pytorch_tanh")
    trunk = read_trunk(config, norm, activation)
    names = place_blocks(layout, len(trunk.blocks))
    layout.norm("norm", "post_layernorm")
    heads: dict[str, Head | AttentionPooling] = {}
    if config.get("vision_use_head", True) and layout.has("head.probe"):
        _place_pooling(layout, config.count("hidden_size", 768))
        heads["pooler_output"] = AttentionPooling(trunk.blocks[0].attention.heads, activation, norm)
    if layout.output("classifier"):
        heads["logits"] = Head(pool="mean_patches")
    unused = (*_UNUSED, r"text_model\..*")
    network = Network(embedding, trunk, heads)
    return Architecture("siglip_vision", "image", network, layout.sources, names, unused, tied_last=False)


def _place_pooling(layout: Layout, width: int) -> None:
    pooling = "heads.pooler_output"
    layout.array(f"{pooling}.probe", "head.probe", shape=(width,))
    for part, name in enumerate(("query", "key", "value")):
        rows = slice(part * width, (part + 1) * width)
        layout.array(f"{pooling}.{name}.weight", "head.attention.in_proj_weight", rows=rows)
        layout.array(f"{pooling}.{name}.bias", "head.attention.in_proj_bias", rows=rows)
    parts = {"output": "attention.out_proj", "norm": "layernorm", "mlp.hidden": "mlp.fc1", "mlp.output": "mlp.fc2"}
    layout.parts(pooling, "head", parts)


def _build_text(checkpoint: Checkpoint, config: Config) -> Architecture:
    norm = Norm(config.number("layer_norm_eps", 1e-6))
    layout = place_text_embedding(checkpoint)
    trunk = read_trunk(config, norm, read_activation(config, default="gelu_pytorch_tanh"))
    names = place_blocks(layout, len(trunk.blocks))
    layout.norm("norm", "final_layer_norm")
    layout.linear("heads.pooler_output.output", "head")
    config.ignore("projection_size", "max_position_embeddings")
    unused = (*_UNUSED, r"vision_model\..*")
    network = Network(TextEmbedding(norm), trunk, {"pooler_output": Head(pool="final")})
    return Architecture("siglip_text", "text", network, layout.sources, names, unused, tied_last=False)
