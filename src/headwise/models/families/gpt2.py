"""GPT-2: a pre-norm causal decoder with learned positions, whose weight matrices are stored transposed.

Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
"""

from __future__ import annotations

from headwise.models.encoder import AttentionOptions, BlockOptions, Norm, TrunkOptions
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.families.decoder import causal_heads, causal_network
from headwise.models.families.options import read_activation
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("gpt2",)

_SUMMARY = ("summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj")
_UNUSED = (r".*attn\.bias", r".*attn\.masked_bias", r"lm_head\.weight")


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    width, depth = config.count("n_embd", 768), config.count("n_layer", 12)
    heads = config.divisor("n_head", 12, "n_embd", width)
    norm = Norm(config.number("layer_norm_epsilon", 1e-5))
    activation = read_activation(config, "activation_function", "gelu_new")
    config.expect("add_cross_attention", False)
    config.ignore("n_ctx", "n_inner", "n_positions", "reorder_and_upcast_attn")
    config.ignore(*_SUMMARY)
    layout = Layout.find(checkpoint, "wte.weight", "transformer.", "")
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
    outputs = causal_heads(layout, config, "wte.weight", tied=True, language_model="LMHeadModel")
    network = causal_network(config, TrunkOptions(blocks, norm=norm), outputs)
    names = layout.modules("h.{}.attn", depth)
    return Architecture("gpt2", "text", network, layout.sources, names, _UNUSED)


def _place_block(layout: Layout, block: str, layer: str, width: int) -> None:
    layout.fused_qkv(f"{block}.attention", f"{layer}.attn.c_attn", width, transposed=True)
    layout.linear(f"{block}.attention.output", f"{layer}.attn.c_proj", transposed=True)
    layout.linear(f"{block}.mlp.hidden", f"{layer}.mlp.c_fc", transposed=True)
    layout.linear(f"{block}.mlp.output", f"{layer}.mlp.c_proj", transposed=True)
    layout.norm(f"{block}.norm_1", f"{layer}.ln_1")
    layout.norm(f"{block}.norm_2", f"{layer}.ln_2")
