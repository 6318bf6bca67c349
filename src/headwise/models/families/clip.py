"""CLIP's two towers: an encoder of images and a causal encoder of texts, each alone or both in one file.

Source: Radford et al., arXiv 2103.00020 (2021).
"""

from __future__ import annotations

from headwise.models.encoder import AttentionPooling, Head, LastToken, Network, Norm, TextEmbedding
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.options import read_activation, read_image_embedding, read_trunk
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("clip", "clip_vision_model", "clip_text_model")
TWO_TOWERS = ("clip",)

_UNUSED = (r".*position_ids", r"logit_scale")


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """One tower: the options, and the places of its parameters."""
    if config.get("model_type") == "clip_vision_model":
        return _build_vision(checkpoint, config)
    return _build_text(checkpoint, config)


def _build_vision(checkpoint: Checkpoint, config: Config) -> Architecture:
    norm = Norm(config.number("layer_norm_eps", 1e-5))
    layout = Layout.find(checkpoint, "embeddings.class_embedding", "vision_model.", "")
    prefix, patches = ("class_token",), "embeddings.patch_embedding"
    embedding = read_image_embedding(
        config, layout, norm, patches, prefix=prefix, positioned=prefix, patch_bias=False, patch_size=32
    )
    layout.array("embedding.class_token", "embeddings.class_embedding")
    layout.array("embedding.position", "embeddings.position_embedding.weight")
    layout.norm("embedding.norm", "pre_layrnorm")  # spelt so in the files
    trunk = read_trunk(config, norm, read_activation(config, default="quick_gelu"))
    names = place_blocks(layout, len(trunk.blocks))
    layout.norm("heads.pooler_output.norm", "post_layernorm")
    heads: dict[str, Head | AttentionPooling] = {"pooler_output": Head(pool="first", norm=norm)}
    if layout.output("visual_projection", "image_embeds", bias=False):
        heads["image_embeds"] = Head("pooler_output")
    if layout.output("classifier"):
        heads["logits"] = Head(pool="mean_patches", prefix=1)
    config.ignore("projection_dim")
    unused = (*_UNUSED, r"text_model\..*", r"text_projection\..*")
    network = Network(embedding, trunk, heads)
    return Architecture("clip_vision", "image", network, layout.sources, names, unused, tied_last=False)


def _build_text(checkpoint: Checkpoint, config: Config) -> Architecture:
    norm = Norm(config.number("layer_norm_eps", 1e-5))
    layout = place_text_embedding(checkpoint)
    activation = read_activation(config, default="quick_gelu")
    trunk = read_trunk(config, norm, activation, causal=True, default_width=512, default_heads=8)
    names = place_blocks(layout, len(trunk.blocks))
    layout.norm("norm", "final_layer_norm")
    heads: dict[str, Head | AttentionPooling] = {"pooler_output": Head(pool="last")}
    if layout.output("text_projection", "text_embeds", bias=False):
        heads["text_embeds"] = Head("pooler_output")
    config.ignore("projection_dim", "max_position_embeddings")
    end = config.get("eos_token_id", 49407)
    # the first files say 2, which is no end token: there the largest id is the end
    last = LastToken("largest") if end == 2 else LastToken("first", end)
    unused = (*_UNUSED, r"vision_model\..*", r"visual_projection\..*")
    network = Network(TextEmbedding(norm), trunk, heads, last=last)
    return Architecture("clip_text", "text", network, layout.sources, names, unused, tied_last=False)


def place_text_embedding(checkpoint: Checkpoint) -> Layout:
    """A layout with the embedding of CLIP's and SigLIP's texts."""
    anchor = "embeddings.token_embedding.weight"
    layout = Layout.find(checkpoint, anchor, "text_model.", "")
    layout.array("embedding.word", anchor)
    layout.array("embedding.position", "embeddings.position_embedding.weight")
    return layout


_BLOCK = {
    **{f"attention.{name}": f"self_attn.{name[0]}_proj" for name in ("query", "key", "value")},
    "attention.output": "self_attn.out_proj",
    "norm_1": "layer_norm1",
    "norm_2": "layer_norm2",
    "mlp.hidden": "mlp.fc1",
    "mlp.output": "mlp.fc2",
}


def place_blocks(layout: Layout, depth: int) -> tuple[str, ...]:
    """The blocks of CLIP and SigLIP; returns the names of their attention modules in the file."""
    for i in range(depth):
        layout.parts(f"blocks.{i}", f"encoder.layers.{i}", _BLOCK)
    return layout.modules("encoder.layers.{}.self_attn", depth)
