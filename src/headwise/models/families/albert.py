"""ALBERT: post-norm blocks that share parameters, and embeddings of a smaller width.

Source: Lan et al., arXiv 1909.11942 (2019).
"""

from __future__ import annotations

from headwise.models.encoder import AttentionOptions, BlockOptions, Head, Network, Norm, TextEmbedding, TrunkOptions
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.bert import place_embedding, place_word_scores
from headwise.models.families.options import read_activation
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("albert",)

_UNUSED = (r".*position_ids", r"predictions\.decoder\..*", r"predictions\.bias", r"sop_classifier\..*")
_BLOCK = {
    **{f"attention.{name}": f"attention.{name}" for name in ("query", "key", "value")},
    "attention.output": "attention.dense",
    "norm_1": "attention.LayerNorm",
    "mlp.hidden": "ffn",
    "mlp.output": "ffn_output",
    "norm_2": "full_layer_layer_norm",
}


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    width, depth = config.count("hidden_size", 4096), config.count("num_hidden_layers", 12)
    heads = config.divisor("num_attention_heads", 64, "hidden_size", width)
    groups, inner = config.count("num_hidden_groups", 1), config.count("inner_group_num", 1)
    norm = Norm(config.number("layer_norm_eps", 1e-12))
    activation = read_activation(config, default="gelu_new")
    config.expect("position_embedding_type", "absolute")
    config.ignore("embedding_size", "intermediate_size", "max_position_embeddings", "type_vocab_size")
    config.ignore("down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks")
    layout = Layout.find(checkpoint, "embeddings.word_embeddings.weight", "albert.", "")
    place_embedding(layout)
    layout.linear("embedding.projection", "encoder.embedding_hidden_mapping_in")
    for group in range(groups):
        for j in range(inner):
            layer = f"encoder.albert_layer_groups.{group}.albert_layers.{j}"
            layout.parts(f"blocks.{group * inner + j}", layer, _BLOCK)
    shared = tuple(int(i / (depth / groups)) * inner + j for i in range(depth) for j in range(inner))
    block = BlockOptions(AttentionOptions(heads, heads), activation, norm, post_norm=True)
    by_output = _heads(layout, activation, norm, config.get("tie_word_embeddings", True))
    network = Network(TextEmbedding(norm), TrunkOptions((block,) * len(shared), groups=shared), by_output)
    names = tuple(
        f"{layout.prefix}encoder.albert_layer_groups.{group // inner}.albert_layers.{group % inner}.attention"
        for group in shared
    )
    return Architecture("albert", "text", network, layout.sources, names, _UNUSED)


def _heads(layout: Layout, activation: str, norm: Norm, tied: bool) -> dict[str, Head]:
    heads = {}
    outside = layout.below("")
    if layout.has("pooler.weight"):
        layout.linear("heads.pooler_output.dense", "pooler")
        heads["pooler_output"] = Head(pool="first", activation="tanh")
    if outside.has("predictions.dense.weight"):
        outside.parts("heads.logits", "predictions", {"dense": "dense", "norm": "LayerNorm"})
        place_word_scores(layout, "predictions", "predictions.decoder", tied)
        heads["logits"] = Head(activation=activation, norm=norm)
    for name in ("classifier", "qa_outputs"):
        if layout.output(name):
            heads["logits"] = Head("pooler_output") if "pooler_output" in heads else Head()
    return heads
