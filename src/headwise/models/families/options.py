"""Options that several families have in common, read from a configuration, and the blocks of ViT, DeiT and DINOv2."""

from __future__ import annotations

from headwise.models.encoder import ROPE_TYPES, AttentionOptions, BlockOptions, ImageEmbedding, Norm, Rope, TrunkOptions
from headwise.models.families.architecture import Layout
from headwise.models.files import Config
from headwise.nn.rotary import Pairing

_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "tanh": "tanh",
}


def read_activation(config: Config, name: str = "hidden_act", default: str = "gelu") -> str:
    """The activation function, by our name."""
    value = config.get(name, default)
    if value not in _ACTIVATIONS:
        raise config.error(name, f"expected one of {', '.join(_ACTIVATIONS)}; got {value!r}")
    return _ACTIVATIONS[value]


def read_rope(
    config: Config, head_width: int, *, theta: float = 10000.0, layer_type: str | None = None, max_positions: int
) -> Rope:
    """The rotary embedding, from ``rope_parameters``, or from ``rope_theta`` and ``rope_scaling`` of older files."""
    options = dict(config.get("rope_parameters", None) or {})
    scaling = config.get("rope_scaling", None)
    base = config.get("rope_theta", None)
    if layer_type is not None and layer_type in options:
        options = dict(options[layer_type])
    if not options and scaling:
        options = dict(scaling)
    kind = options.pop("rope_type", None) or options.pop("type", None) or "default"
    options.pop("type", None)
    kind = {"su": "longrope"}.get(kind, kind)
    if kind not in ROPE_TYPES:
        raise config.error("rope_type", f"expected one of {', '.join(ROPE_TYPES)}; got {kind!r}")
    theta = options.pop("rope_theta", None) or base or theta
    partial = options.pop("partial_rotary_factor", None) or config.get("partial_rotary_factor", None) or 1.0
    outer = config.get("original_max_position_embeddings", None)
    options.setdefault("original_max_position_embeddings", outer or max_positions)
    if unknown := options.keys() - _ROPE_OPTIONS:
        raise config.error("rope_parameters", f"unknown option {', '.join(sorted(unknown))}")
    pairing: Pairing = "neighbours" if config.get("rope_interleaved", False) else "halves"
    factors = config.get("rope_factors", None)
    return Rope(int(head_width * partial), float(theta), kind, options, max_positions, pairing, factors)


_ROPE_OPTIONS = {
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "factor",
    "high_freq_factor",
    "long_factor",
    "low_freq_factor",
    "mscale",
    "mscale_all_dim",
    "original_max_position_embeddings",
    "short_factor",
    "truncate",
}


def block_windows(config: Config, depth: int, window: int | None) -> tuple[tuple[int, int] | None, ...]:
    """The window of each block from ``layer_types``: the last `window` tokens, the token itself included."""
    types = config.get("layer_types", None) or ["full_attention" if window is None else "sliding_attention"] * depth
    if len(types) != depth or set(types) - {"full_attention", "sliding_attention"}:
        raise config.error("layer_types", f"expected {depth} of full_attention or sliding_attention; got {types!r}")
    if window is None and "sliding_attention" in types:
        raise config.error("sliding_window", "is missing, but layer_types names sliding_attention")
    return tuple((window - 1, 0) if window is not None and kind == "sliding_attention" else None for kind in types)


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
    layout.linear("embedding.patch", patch_tensor, shape=shape, bias=patch_bias)
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
