"""GPT-2: a pre-norm causal decoder with learned positions, whose weight matrices are stored transposed.

Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
"""

from __future__ import annotations

from headwise.models.encoder.attention import AttentionOptions
from headwise.models.encoder.block import BlockOptions
from headwise.models.encoder.heads import Head
from headwise.models.encoder.network import LastToken, Network
from headwise.models.encoder.norms import Norm
from headwise.models.encoder.text_embedding import TextEmbedding
from headwise.models.encoder.trunk import TrunkOptions
from headwise.models.families.architecture import Architecture, Layout, find_prefix
from headwise.models.families.options import read_activation
from headwise.models.files.checkpoint import Checkpoint
from headwise.models.files.config import Config

MODEL_TYPES = ("gpt2",)

_SUMMARY = (
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
)
_UNUSED = (r".*attn\.bias", r".*attn\.masked_bias", r"lm_head\.weight")


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    width, depth, heads = config.count("n_embd", 768), config.count("n_layer", 12), config.count("n_head", 12)
    if width % heads:
        raise config.error("n_head", f"expected a divisor of n_embd {width}; got {heads}")
    norm = Norm(config.number("layer_norm_epsilon", 1e-5))
    activation = read_activation(config, "activation_function", "gelu_new")
    config.expect("add_cross_attention", False)
    config.ignore("n_ctx", "n_inner", "n_positions", "reorder_and_upcast_attn")
    config.ignore(*_SUMMARY)
    layout = Layout(checkpoint.tensors, find_prefix(checkpoint.tensors, "wte.weight", "transformer.", ""))
    layout.array("embedding.word", "wte.weight")
    layout.array("embedding.position", "wpe.weight")
    for i in range(depth):
        _place_block(layout, f"blocks.{i}", f"h.{i}", width)
    layout.norm("norm", "ln_f")
    scale = (width // heads) ** -0.5 if config.get("scale_attn_weights", True) else 1.0
    by_depth = config.get("scale_attn_by_inverse_layer_idx", False)
    blocks = tuple(
        BlockOptions(AttentionOptions(heads, heads, scale / (i + 1 if by_depth else 1), causal=True), activation, norm)
        for i in range(depth)
    )
    network = Network(
        TextEmbedding(norm),
        TrunkOptions(blocks, norm=norm),
        _heads(layout, config),
        last=LastToken("padding", config.get("pad_token_id", None)),
    )
    names = tuple(f"{layout.prefix}h.{i}.attn" for i in range(depth))
    return Architecture("gpt2", "text", network, layout.sources, names, _UNUSED)


def _place_block(layout: Layout, block: str, layer: str, width: int) -> None:
    for part, name in enumerate(("query", "key", "value")):
        rows = slice(part * width, (part + 1) * width)
        layout.linear(f"{block}.attention.{name}", f"{layer}.attn.c_attn", rows=rows, transposed=True)
    layout.linear(f"{block}.attention.output", f"{layer}.attn.c_proj", transposed=True)
    layout.linear(f"{block}.mlp.hidden", f"{layer}.mlp.c_fc", transposed=True)
    layout.linear(f"{block}.mlp.output", f"{layer}.mlp.c_proj", transposed=True)
    layout.norm(f"{block}.norm_1", f"{layer}.ln_1")
    layout.norm(f"{block}.norm_2", f"{layer}.ln_2")


def _heads(layout: Layout, config: Config) -> dict[str, Head]:
    """Scores of the next token by the words' embeddings, or of classes if the file has such a head."""
    outside = layout.below("")
    if outside.has("score.weight"):
        outside.linear("heads.logits.output", "score", bias=False)
        return {"logits": Head(pool="last")}
    if outside.has("classifier.weight"):
        outside.linear("heads.logits.output", "classifier")
        return {"logits": Head()}
    architectures = config.get("architectures", None) or ["LMHeadModel" if layout.prefix else ""]
    if not any(name.endswith("LMHeadModel") for name in architectures):
        return {}
    if config.get("tie_word_embeddings", True):
        layout.array("heads.logits.output.weight", "wte.weight")
    else:
        outside.array("heads.logits.output.weight", "lm_head.weight")
    return {"logits": Head()}
