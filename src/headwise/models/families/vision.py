"""What the image encoders have in common: reading sizes, and the blocks of ViT, DeiT and DINOv2."""

from __future__ import annotations

from headwise.models.encoder import AttentionOptions, BlockOptions, ImageEmbedding, Norm, TrunkOptions
from headwise.models.families.architecture import Layout
from headwise.models.files import Config


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
    patch_tensor: str,
    *,
    prefix: tuple[str, ...],
    positioned: tuple[str, ...],
    patch_bias: bool = True,
    interpolation: str = "bicubic",
    patch_size: int = 16,
) -> ImageEmbedding:
    """Read the sizes, and place the projection of the patches."""
    image, patch = pair(config, "image_size", 224), pair(config, "patch_size", patch_size)
    channels, width = config.count("num_channels", 3), config.count("hidden_size", 768)
    if not (image[0] // patch[0] and image[1] // patch[1]):
        raise config.error("patch_size", f"expected at most image_size {image}; got {patch}")
    shape = (width, channels * patch[0] * patch[1])
    layout.linear("embedding.patch", patch_tensor, shape=shape, bias=False)
    if patch_bias:
        layout.array("embedding.patch.bias", f"{patch_tensor}.bias")
    grid = (image[0] // patch[0], image[1] // patch[1])
    return ImageEmbedding(patch, channels, grid, prefix, positioned, interpolation, norm)


def read_trunk(
    config: Config,
    norm: Norm,
    activation: str,
    *,
    causal: bool = False,
    default_width: int = 768,
    default_heads: int = 12,
) -> TrunkOptions:
    """Pre-norm blocks of the configuration's sizes."""
    width, depth = config.count("hidden_size", default_width), config.count("num_hidden_layers", 12)
    heads = config.divisor("num_attention_heads", default_heads, "hidden_size", width)
    config.ignore("intermediate_size")
    block = BlockOptions(AttentionOptions(heads, heads, causal=causal), activation, norm)
    return TrunkOptions((block,) * depth, norm=norm)


def place_attention(layout: Layout, block: str, layer: str, *, qkv_bias: bool) -> None:
    """The attention sublayer of ViT, DeiT and DINOv2."""
    for name in ("query", "key", "value"):
        layout.linear(f"{block}.attention.{name}", f"{layer}.attention.attention.{name}", bias=qkv_bias)
    layout.linear(f"{block}.attention.output", f"{layer}.attention.output.dense")
