"""Vision transformers of this package, as `headwise train` saves them.

The file is a safetensors file whose header contains the configuration; see `headwise.models.vit.ViTConfig`.
"""

from __future__ import annotations

from headwise.models.encoder import AttentionOptions, BlockOptions, Head, ImageEmbedding, Network, Norm, TrunkOptions
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.files import Checkpoint, Config
from headwise.tokenizers import Patches, get_tokenizer

MODEL_TYPES = ("headwise_vit",)

_NORM = Norm(1e-5)


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, and place the parameters."""
    height, width = config.get("image_size", [28, 28])
    name = config.get("tokenizer", "7x7")
    tokenizer = get_tokenizer(name, (height, width))
    if not isinstance(tokenizer, Patches) or tokenizer.stride is not None:
        raise config.error("tokenizer", f"expected patches side by side, such as '7x7'; got {name!r}")
    config.ignore("mean", "std", "d_ff", "n_classes")  # the first two belong to preprocessing
    d_model, depth, heads = config.count("d_model", 64), config.count("n_layers", 4), config.count("n_heads", 4)
    layout = Layout(checkpoint.tensors)
    for parameter, tensor in (("patch", "token"), ("class_token", "class_token"), ("position", "positions")):
        for suffix in (".weight", ".bias") if parameter == "patch" else ("",):
            layout.array(f"embedding.{parameter}{suffix}", f"embedding.{tensor}{suffix}")
    for i in range(depth):
        _place_block(layout, f"blocks.{i}", d_model)
    for suffix in ("gain", "bias"):
        layout.array(f"norm.{suffix}", f"norm.{suffix}")
    layout.linear("heads.logits.output", "head")
    embedding = ImageEmbedding(tokenizer.patch_size, 1, tokenizer.grid, norm=_NORM)
    block = BlockOptions(AttentionOptions(heads, heads), "gelu_tanh", _NORM)
    network = Network(embedding, TrunkOptions((block,) * depth, norm=_NORM), {"logits": Head(pool="first")})
    names = tuple(f"blocks.{i}.attention" for i in range(depth))
    return Architecture("headwise_vit", "image", network, layout.sources, names, tied_last=False)


def _place_block(layout: Layout, block: str, width: int) -> None:
    layout.fused_qkv(f"{block}.attention", f"{block}.attention.qkv", width)
    for name in ("attention.output", "mlp.hidden", "mlp.output"):
        layout.linear(f"{block}.{name}", f"{block}.{name}")
    for name in ("norm_1", "norm_2"):
        for suffix in ("gain", "bias"):
            layout.array(f"{block}.{name}.{suffix}", f"{block}.{name}.{suffix}")
