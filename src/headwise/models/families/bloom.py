"""BLOOM: a pre-norm causal decoder with ALiBi instead of position embeddings.

Source: BigScience Workshop, arXiv 2211.05100 (2022).
"""

from __future__ import annotations

import numpy as np

from headwise.models.encoder import AttentionOptions, BlockOptions, Norm, TrunkOptions
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.decoder import causal_heads, causal_network
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("bloom",)


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    width = config.get("hidden_size", None) or config.count("n_embed", 64)
    depth = config.count("n_layer", config.get("num_hidden_layers", 2))
    name = "n_head" if config.get("n_head", None) else "num_attention_heads"
    heads = config.divisor(name, 8, "hidden_size", width)
    norm = Norm(config.number("layer_norm_epsilon", 1e-5))
    config.expect("apply_residual_connection_post_layernorm", False)
    config.ignore("pretraining_tp", "slow_but_exact", "seq_length", "n_inner", "n_embed", "offset_alibi")
    config.ignore("attention_softmax_in_fp32", "bias_dropout_fusion", "masked_softmax_fusion", "skip_bias_add")
    config.ignore("skip_bias_add_qkv", "unk_token_id", "num_attention_heads", "num_hidden_layers")
    layout = Layout.find(checkpoint, "word_embeddings.weight", "transformer.", "")
    layout.array("embedding.word", "word_embeddings.weight")
    layout.norm("embedding.norm", "word_embeddings_layernorm")
    for i in range(depth):
        _place_block(layout, f"blocks.{i}", f"h.{i}", width, heads)
    layout.norm("norm", "ln_f")
    block = BlockOptions(AttentionOptions(heads, heads, causal=True), "gelu_tanh", norm)
    outputs = causal_heads(layout, config, "word_embeddings.weight", tied=True)
    network = causal_network(config, TrunkOptions((block,) * depth, alibi=True, norm=norm), outputs)
    names = layout.modules("h.{}.self_attention", depth)
    return Architecture("bloom", "text", network, layout.sources, names, (r"lm_head\.weight",))


def _place_block(layout: Layout, block: str, layer: str, width: int, heads: int) -> None:
    rows = np.arange(3 * width).reshape(heads, 3, -1)  # query, key and value of each head in turn
    for part, name in enumerate(("query", "key", "value")):
        tensor = f"{layer}.self_attention.query_key_value"
        layout.linear(f"{block}.attention.{name}", tensor, rows=rows[:, part].ravel())
    layout.linear(f"{block}.attention.output", f"{layer}.self_attention.dense")
    layout.linear(f"{block}.mlp.hidden", f"{layer}.mlp.dense_h_to_4h")
    layout.linear(f"{block}.mlp.output", f"{layer}.mlp.dense_4h_to_h")
    layout.norm(f"{block}.norm_1", f"{layer}.input_layernorm")
    layout.norm(f"{block}.norm_2", f"{layer}.post_attention_layernorm")
