"""The causal decoder that Llama, Mistral, Qwen and Gemma share: names of tensors, and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headwise.models.encoder import (
    AttentionOptions,
    BlockOptions,
    Head,
    LastToken,
    Network,
    Norm,
    Rope,
    TextEmbedding,
    TrunkOptions,
)
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.files import Checkpoint, Config

_UNUSED = (r".*rotary_emb\.inv_freq", r"lm_head\.weight")


@dataclass(frozen=True)
class DecoderOptions:
    """In what the families of this decoder differ."""

    activation: str
    norm: Norm
    ropes: Sequence[Rope]  # of each block
    windows: Sequence[tuple[int, int] | None]  # of each block
    # of queries, keys and values; of the output projection; of the MLP
    biases: tuple[bool, bool, bool] = (False, False, False)
    tied: bool = False  # whether the head is the words' embedding, if the file says nothing
    # of the attention logits
    scale: float | None = None
    softcap: float | None = None
    final_softcap: float | None = None  # of the scores
    embedding_scale: float = 1.0
    head_norms: bool = False  # normalise the queries and keys of each head
    branch_norms: bool = False  # normalise the outputs of the sublayers too


def head_width(config: Config) -> int:
    """d, which need not be D/H."""
    width, heads = config.count("hidden_size"), config.count("num_attention_heads")
    if config.get("head_dim", None) is None and width % heads:
        raise config.error("num_attention_heads", f"expected a divisor of hidden_size {width}; got {heads}")
    return int(config.get("head_dim", None) or width // heads)


def build_decoder(family: str, checkpoint: Checkpoint, config: Config, options: DecoderOptions) -> Architecture:
    """Place the parameters, and put the network together."""
    depth, heads = config.count("num_hidden_layers"), config.count("num_attention_heads")
    key_heads = config.get("num_key_value_heads", None) or heads
    if heads % key_heads:
        raise config.error("num_key_value_heads", f"expected a divisor of {heads} heads; got {key_heads}")
    config.ignore("hidden_size", "head_dim", "intermediate_size", "pretraining_tp", "max_position_embeddings")
    layout = Layout.find(checkpoint, "embed_tokens.weight", "model.", "transformer.", "")
    layout.array("embedding.word", "embed_tokens.weight")
    for i in range(depth):
        _place_block(layout, f"blocks.{i}", f"layers.{i}", options)
    layout.norm("norm", "norm", bias=False)
    attentions = [
        AttentionOptions(heads, key_heads, options.scale, True, window, options.softcap, options.norm)
        for window in options.windows
    ]
    blocks = tuple(BlockOptions(attention, options.activation, options.norm) for attention in attentions)
    trunk = TrunkOptions(blocks, ropes=tuple(options.ropes), norm=options.norm)
    heads_by_output = causal_heads(
        layout, config, "embed_tokens.weight", tied=options.tied, softcap=options.final_softcap
    )
    network = causal_network(config, trunk, heads_by_output, options.embedding_scale)
    names = layout.modules("layers.{}.self_attn", depth)
    return Architecture(family, "text", network, layout.sources, names, _UNUSED)


def _place_block(layout: Layout, block: str, layer: str, options: DecoderOptions) -> None:
    qkv_bias, output_bias, mlp_bias = options.biases
    for name, tensor in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
        layout.linear(f"{block}.attention.{name}", f"{layer}.self_attn.{tensor}", bias=qkv_bias)
    layout.linear(f"{block}.attention.output", f"{layer}.self_attn.o_proj", bias=output_bias)
    for name, tensor in (("gate", "gate_proj"), ("hidden", "up_proj"), ("output", "down_proj")):
        layout.linear(f"{block}.mlp.{name}", f"{layer}.mlp.{tensor}", bias=mlp_bias)
    if options.head_norms:
        layout.norm(f"{block}.attention.query_norm", f"{layer}.self_attn.q_norm", bias=False)
        layout.norm(f"{block}.attention.key_norm", f"{layer}.self_attn.k_norm", bias=False)
    norms = {"norm_1": "input_layernorm", "norm_2": "post_attention_layernorm"}
    if options.branch_norms:
        norms |= {"norm_2": "pre_feedforward_layernorm"}
        norms |= {"attention_norm": "post_attention_layernorm", "mlp_norm": "post_feedforward_layernorm"}
    for name, tensor in norms.items():
        layout.norm(f"{block}.{name}", f"{layer}.{tensor}", bias=False)


def causal_network(
    config: Config, trunk: TrunkOptions, heads: dict[str, Head], embedding_scale: float = 1.0
) -> Network:
    """A network of texts that predicts the token after the last one that is no padding."""
    last = LastToken("padding", config.get("pad_token_id", None))
    return Network(TextEmbedding(trunk.norm, embedding_scale), trunk, heads, last=last)


def causal_heads(
    layout: Layout,
    config: Config,
    words: str,
    *,
    tied: bool,
    language_model: str = "ForCausalLM",
    softcap: float | None = None,
) -> dict[str, Head]:
    """Scores of classes if the file has such a head, or of the next token, by the words' embeddings if tied."""
    outside = layout.below("")
    for tensor in ("score", "classifier", "qa_outputs"):
        if outside.has(f"{tensor}.weight"):
            per_token = outside.has(f"{tensor}.bias")
            outside.linear("heads.logits.output", tensor, bias=per_token)
            return {"logits": Head(pool="tokens" if per_token else "last")}
    if config.get("tie_word_embeddings", tied):
        architectures = config.get("architectures", None) or [language_model if layout.prefix else ""]
        if not any(name.endswith(language_model) for name in architectures):
            return {}
        layout.array("heads.logits.output.weight", words)
    elif outside.has("lm_head.weight"):
        outside.array("heads.logits.output.weight", "lm_head.weight")
    else:
        return {}
    return {"logits": Head(softcap=softcap)}
