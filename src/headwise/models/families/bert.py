"""BERT and RoBERTa: post-norm encoders of text with learned positions.

Sources: Devlin et al., arXiv 1810.04805 (2018); Liu et al., arXiv 1907.11692 (2019). XLM-RoBERTa and CamemBERT have
RoBERTa's layout.
"""

from __future__ import annotations

from headwise.models.encoder import (
    AttentionOptions,
    AttentionPooling,
    BlockOptions,
    Head,
    Network,
    Norm,
    TextEmbedding,
    TrunkOptions,
)
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.options import read_activation
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")

_UNUSED = (
    r".*position_ids",
    r".*token_type_ids",
    r"cls\.seq_relationship\..*",  # whether one sentence follows the other
    r"cls\.predictions\.decoder\..*",  # tied to the words' embeddings and to cls.predictions.bias
    r"cls\.predictions\.bias",  # of no use if they are not tied
    r"lm_head\.decoder\..*",
    r"lm_head\.bias",
)
_BLOCK = {
    **{f"attention.{name}": f"attention.self.{name}" for name in ("query", "key", "value")},
    "attention.output": "attention.output.dense",
    "norm_1": "attention.output.LayerNorm",
    "mlp.hidden": "intermediate.dense",
    "mlp.output": "output.dense",
    "norm_2": "output.LayerNorm",
}


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    family = "bert" if config.get("model_type") == "bert" else "roberta"
    width, depth = config.count("hidden_size", 768), config.count("num_hidden_layers", 12)
    heads = config.divisor("num_attention_heads", 12, "hidden_size", width)
    norm = Norm(config.number("layer_norm_eps", 1e-12 if family == "bert" else 1e-5))
    activation = read_activation(config)
    config.expect("position_embedding_type", "absolute")
    config.expect("is_decoder", False)
    config.expect("add_cross_attention", False)
    config.ignore("intermediate_size", "max_position_embeddings", "type_vocab_size", "pooler_fc_size")
    config.ignore("pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type")
    padding = config.get("pad_token_id", 1) if family == "roberta" else None
    layout = Layout.find(checkpoint, "embeddings.word_embeddings.weight", "bert.", "roberta.", "")
    place_embedding(layout)
    for i in range(depth):
        layout.parts(f"blocks.{i}", f"encoder.layer.{i}", _BLOCK)
    block = BlockOptions(AttentionOptions(heads, heads), activation, norm, post_norm=True)
    by_output = _heads(layout, activation, norm, config.get("tie_word_embeddings", True))
    network = Network(TextEmbedding(norm, padding_id=padding), TrunkOptions((block,) * depth), by_output)
    names = layout.modules("encoder.layer.{}.attention.self", depth)
    return Architecture(family, "text", network, layout.sources, names, _UNUSED)


def place_embedding(layout: Layout, tables: tuple[str, ...] = ("word", "position", "token_type")) -> None:
    """The embeddings of BERT, RoBERTa, DistilBERT and ALBERT."""
    for table in tables:
        layout.array(f"embedding.{table.removeprefix('token_')}", f"embeddings.{table}_embeddings.weight")
    layout.norm("embedding.norm", "embeddings.LayerNorm")


def _heads(layout: Layout, activation: str, norm: Norm, tied: bool) -> dict[str, Head | AttentionPooling]:
    """The heads whose tensors the file has."""
    heads: dict[str, Head | AttentionPooling] = {}
    outside = layout.below("")
    if layout.has("pooler.dense.weight"):
        layout.linear("heads.pooler_output.dense", "pooler.dense")
        heads["pooler_output"] = Head(pool="first", activation="tanh")
    if outside.has("cls.predictions.transform.dense.weight"):
        outside.parts("heads.logits", "cls.predictions.transform", {"dense": "dense", "norm": "LayerNorm"})
        place_word_scores(layout, "cls.predictions", "cls.predictions.decoder", tied)
        heads["logits"] = Head(activation=activation, norm=norm)
    elif outside.has("lm_head.dense.weight"):
        outside.parts("heads.logits", "lm_head", {"dense": "dense", "norm": "layer_norm"})
        place_word_scores(layout, "lm_head", "lm_head.decoder", tied)
        heads["logits"] = Head(activation="gelu", norm=norm)
    elif outside.has("classifier.out_proj.weight"):
        outside.parts("heads.logits", "classifier", {"dense": "dense", "output": "out_proj"})
        heads["logits"] = Head(pool="first", activation="tanh")
    elif layout.output("classifier"):
        heads["logits"] = Head("pooler_output") if "pooler_output" in heads else Head()
    elif layout.output("qa_outputs"):
        heads["logits"] = Head()
    return heads


def place_word_scores(layout: Layout, head: str, decoder: str, tied: bool) -> None:
    """Scores of the vocabulary: by the words' embeddings and the head's bias if the weights are tied, or a decoder."""
    outside = layout.below("")
    if tied:
        layout.array("heads.logits.output.weight", "embeddings.word_embeddings.weight")
        outside.array("heads.logits.output.bias", f"{head}.bias")
    else:
        outside.linear("heads.logits.output", decoder)
