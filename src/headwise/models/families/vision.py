"""What the image encoders have in common: reading sizes, and the blocks of ViT, DeiT and DINOv2."""

from __future__ import annotations

from headwise.models.encoder.attention import AttentionOptions
from headwise.models.encoder.block import BlockOptions
from headwise.models.encoder.image_embedding import ImageEmbedding
from headwise.models.encoder.norms import Norm
from headwise.models.encoder.trunk import TrunkOptions
from headwise.models.families.architecture import Layout
from headwise.models.families.options import read_activation
from headwise.models.files.config import Config


def pair(config: Config, name: str, default: int) -> tuple[int, int]:
    """Height and width from one number or two."""
    value = config.get(name, default)
    sizes = (value, value) if type(value) is int else tuple(value) if isinstance(value, list) else ()
    if len(sizes) != 2 or any(type(size) is not int or size < 1 for size in sizes):
        raise config.error(name, f"expected a number of pixels, or two; got {value!r}")
    return sizes[0], sizes[1]


def read_image_embedding(
    config: Config,
    layout: Layout,
    norm: Norm,
    *,
    prefix: tuple[str, ...],
    positioned: tuple[str, ...],
    patch_tensor: str,
    patch_bias: bool = True,
    interpolation: str = "bicubic",
    image_size: int = 224,
    patch_size: int = 16,
) -> ImageEmbedding:
    """Read the sizes, and place the projection of the patches."""
    image, patch = pair(config, "image_size", image_size), pair(config, "patch_size", patch_size)
    channels, width = config.count("num_channels", 3), config.count("hidden_size", 768)
    if not (image[0] // patch[0] and image[1] // patch[1]):
        raise config.error("patch_size", f"expected at most image_size {image}; got {patch}")
    shape = (width, channels * patch[0] * patch[1])
    layout.linear("embedding.patch", patch_tensor, shape=shape, bias=False)
    if patch_bias:
        layout.array("embedding.patch.bias", f"{patch_tensor}.bias")
    grid = (image[0] // patch[0], image[1] // patch[1])
    return ImageEmbedding(patch, channels, grid, prefix, positioned, interpolation, norm)


def read_trunk(config: Config, norm: Norm, *, causal: bool = False, activation: str | None = None) -> TrunkOptions:
    """Pre-norm blocks of the configuration's sizes."""
    width, depth = config.count("hidden_size", 768), config.count("num_hidden_layers", 12)
    heads = config.count("num_attention_heads", 12)
    if width % heads:
        raise config.error("num_attention_heads", f"expected a divisor of hidden_size {width}; got {heads}")
    config.ignore("intermediate_size")
    name = read_activation(config) if activation is None else activation
    block = BlockOptions(AttentionOptions(heads, heads, causal=causal), name, norm)
    return TrunkOptions((block,) * depth, norm=norm)


def place_attention(layout: Layout, block: str, layer: str, *, qkv_bias: bool) -> None:
    """The attention sublayer of ViT, DeiT and DINOv2."""
    for name in ("query", "key", "value"):
        layout.linear(f"{block}.attention.{name}", f"{layer}.attention.attention.{name}", bias=qkv_bias)
    layout.linear(f"{block}.attention.output", f"{layer}.attention.output.dense")
