"""DistilBERT: BERT without token types and pooler.

Source: Sanh et al., arXiv 1910.01108 (2019).
"""

from __future__ import annotations

from headwise.models.encoder import AttentionOptions, BlockOptions, Head, Network, Norm, TextEmbedding, TrunkOptions
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.bert import place_embedding, place_word_scores
from headwise.models.families.options import read_activation
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("distilbert",)

_NORM = Norm(1e-12)  # no option of the configuration
_BLOCK = {
    **{f"attention.{name}": f"attention.{name[0]}_lin" for name in ("query", "key", "value")},
    "attention.output": "attention.out_lin",
    "norm_1": "sa_layer_norm",
    "mlp.hidden": "ffn.lin1",
    "mlp.output": "ffn.lin2",
    "norm_2": "output_layer_norm",
}


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    width, depth = config.count("dim", 768), config.count("n_layers", 6)
    heads = config.divisor("n_heads", 12, "dim", width)
    activation = read_activation(config, "activation")
    config.ignore("hidden_dim", "max_position_embeddings", "sinusoidal_pos_embds", "tie_weights_")
    layout = Layout.find(checkpoint, "embeddings.word_embeddings.weight", "distilbert.", "")
    place_embedding(layout, ("word", "position"))
    for i in range(depth):
        layout.parts(f"blocks.{i}", f"transformer.layer.{i}", _BLOCK)
    block = BlockOptions(AttentionOptions(heads, heads), activation, _NORM, post_norm=True)
    heads_by_output = _heads(layout, activation, config.get("tie_word_embeddings", True))
    network = Network(TextEmbedding(_NORM), TrunkOptions((block,) * depth), heads_by_output)
    names = layout.modules("transformer.layer.{}.attention", depth)
    unused = (r".*position_ids", r"vocab_projector\.weight")
    return Architecture("distilbert", "text", network, layout.sources, names, unused)


def _heads(layout: Layout, activation: str, tied: bool) -> dict[str, Head]:
    outside = layout.below("")
    if outside.has("vocab_transform.weight"):
        outside.linear("heads.logits.dense", "vocab_transform")
        outside.norm("heads.logits.norm", "vocab_layer_norm")
        place_word_scores(layout, "vocab_projector", "vocab_projector", tied)
        return {"logits": Head(activation=activation, norm=_NORM)}
    if outside.has("pre_classifier.weight"):
        outside.linear("heads.logits.dense", "pre_classifier")
        layout.output("classifier")
        return {"logits": Head(pool="first", activation="relu")}
    return {"logits": Head()} if layout.output("classifier") or layout.output("qa_outputs") else {}
