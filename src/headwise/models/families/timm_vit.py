"""The vision transformers of timm: ViT, DeiT and DeiT-3, CLIP's, SigLIP's and DINOv2's image encoders by timm's names.

Source: Wightman, "PyTorch Image Models" (timm). The configuration names an architecture, which stands for options that
the file does not state: the epsilon of the norms, the activation, and the number of heads.
"""

from __future__ import annotations

import re

from headwise.models.encoder import (
    AttentionOptions,
    AttentionPooling,
    BlockOptions,
    Head,
    ImageEmbedding,
    Network,
    Norm,
    TrunkOptions,
)
from headwise.models.families.architecture import Architecture, Layout
from headwise.models.files import Checkpoint, Config

MODEL_TYPES = ("timm", "timm_wrapper")

_ARCHITECTURES = re.compile(r"(vit|flexivit|deit|deit3|beit3|eva_large|test_vit)\w*")
_TANH = re.compile(r"vit_(so400m_patch16|giantopt\w*|base_patch32|large_patch16)_siglip(_gap)?_\d+")
_ERF_AT = re.compile(r"vit_large_patch16_siglip(_gap)?_(256|384)")
_SIXTEEN_HEADS = (1152, 1280, 1408, 1664)  # widths whose heads are not 64 wide
_POOLS = {"token": "first", "avg": "mean_patches", "": "tokens"}
_IGNORED = ("attn_drop_rate", "drop_path_rate", "drop_rate", "dynamic_img_pad", "dynamic_img_size", "fix_init",
            "patch_drop_rate", "pos_drop_rate", "proj_drop_rate", "weight_init", "strict_img_size")  # fmt: skip
_STATED = ("class_token", "depth", "embed_dim", "fc_norm", "final_norm", "init_values", "mlp_ratio", "no_embed_class",
           "num_classes", "patch_size", "in_chans", "pre_norm", "proj_bias", "qkv_bias", "reg_tokens",
           "qk_norm")  # fmt: skip


def build(checkpoint: Checkpoint, config: Config) -> Architecture:
    """Read the options, most of which the shapes of the tensors state, and place the parameters."""
    name = config.get("architecture")
    if not isinstance(name, str) or not _ARCHITECTURES.fullmatch(name):
        raise config.error("architecture", f"expected a vision transformer of timm, such as vit_*; got {name!r}")
    args = config.section("model_args") if config.get("model_args", None) else Config({}, "config.json: model_args")
    args.ignore(*_IGNORED, *_STATED)
    args.expect("pos_embed", "learn")
    args.expect("norm_layer", None)
    config.ignore("num_classes", "num_features", "do_pooling", "initializer_range")
    layout = Layout.find(checkpoint, "patch_embed.proj.weight", "timm_model.", "")
    width = checkpoint.tensor(f"{layout.prefix}patch_embed.proj.weight").shape[0]
    norm = Norm(1e-5 if "_clip_" in name or name.startswith("beit3") else 1e-6)
    depth = _depth(layout)
    heads = args.get("num_heads", None) or (16 if width in _SIXTEEN_HEADS or "giantopt" in name else width // 64)
    if type(heads) is not int or heads < 1 or width % heads:
        raise args.error("num_heads", f"expected a divisor of the width {width}; got {heads!r}")
    embedding = _embedding(checkpoint, layout, config, args, norm)
    branch_norms = "_rpn_" in name
    for i in range(depth):
        _place_block(checkpoint, layout, i, width, branch_norms)
    gated = "blocks.0.mlp.gate.weight" in layout.sources
    activation = _activation(name, args, gated)
    block = BlockOptions(AttentionOptions(heads, heads, norm=norm), activation, norm)
    if layout.has("norm.weight") or not layout.has("fc_norm.weight"):
        layout.norm("norm", "norm")
    pooling = AttentionPooling(heads, activation, norm)
    outputs, averages = _heads(layout, config, args, norm, pooling, _prefix_tokens(checkpoint, layout), width)
    args.finish()
    network = Network(embedding, TrunkOptions((block,) * depth, norm=norm), outputs, averages)
    names = tuple(f"{layout.prefix}blocks.{i}.attn" for i in range(depth))
    return Architecture("timm_vit", "image", network, layout.sources, names, tied_last=False)


def _activation(name: str, args: Config, gated: bool) -> str:
    """By the architecture's name, unless the options state it."""
    activation = args.get("act_layer", None)
    names = {"gelu": "gelu", "gelu_tanh": "gelu_tanh", "quick_gelu": "quick_gelu", "quickgelu": "quick_gelu",
             "silu": "silu", "swish": "silu", "relu": "relu"}  # fmt: skip
    if activation is not None:
        if activation not in names:
            raise args.error("act_layer", f"expected one of {', '.join(names)}; got {activation!r}")
        return names[activation]
    if gated:
        return "silu"
    if "quickgelu" in name:
        return "quick_gelu"
    return "gelu_tanh" if _TANH.fullmatch(name) and not _ERF_AT.fullmatch(name) else "gelu"


def _prefix_tokens(checkpoint: Checkpoint, layout: Layout) -> int:
    """How many tokens come before the patches."""
    tensors = (f"{layout.prefix}{name}" for name in ("cls_token", "dist_token", "reg_token"))
    return sum(checkpoint.tensor(name).shape[1] for name in tensors if name in layout.tensors)


def _depth(layout: Layout) -> int:
    pattern = re.compile(re.escape(layout.prefix) + r"blocks\.(\d+)\.")
    return 1 + max((int(match[1]) for name in layout.tensors if (match := pattern.match(name))), default=0)


def _embedding(checkpoint: Checkpoint, layout: Layout, config: Config, args: Config, norm: Norm) -> ImageEmbedding:
    """Patches, prefix tokens and positions; the table has rows for the prefix or not."""
    width, channels, tall, wide = checkpoint.tensor(f"{layout.prefix}patch_embed.proj.weight").shape
    bias, shape = layout.has("patch_embed.proj.bias"), (width, channels * tall * wide)
    layout.linear("embedding.patch", "patch_embed.proj", bias=bias, shape=shape)
    prefix = []
    for parameter, tensor in (
        ("class_token", "cls_token"),
        ("distillation_token", "dist_token"),
        ("register_tokens", "reg_token"),
    ):
        if layout.has(tensor):
            layout.array(f"embedding.{parameter}", tensor, shape=(-1, width))
            prefix.append(parameter)
    layout.array("embedding.position", "pos_embed", shape=(-1, width))
    if layout.has("norm_pre.weight"):
        layout.norm("embedding.norm", "norm_pre")
    pretrained = config.section("pretrained_cfg") if config.get("pretrained_cfg", None) else args
    image_size = args.get("img_size", None) or pretrained.get("input_size", [channels, 224, 224])[1:]
    size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    grid = (size[0] // tall, size[1] // wide)
    rows = checkpoint.tensor(f"{layout.prefix}pos_embed").shape[1]
    positioned = () if rows == grid[0] * grid[1] else tuple(prefix)
    return ImageEmbedding((tall, wide), channels, grid, tuple(prefix), positioned, "bicubic_antialias", norm)


def _place_block(checkpoint: Checkpoint, layout: Layout, i: int, width: int, branch_norms: bool) -> None:
    block, layer = f"blocks.{i}", f"blocks.{i}"
    layout.fused_qkv(f"{block}.attention", f"{layer}.attn.qkv", width, bias=layout.has(f"{layer}.attn.qkv.bias"))
    layout.linear(f"{block}.attention.output", f"{layer}.attn.proj", bias=layout.has(f"{layer}.attn.proj.bias"))
    if layout.has(f"{layer}.attn.q_norm.weight"):
        layout.norm(f"{block}.attention.query_norm", f"{layer}.attn.q_norm")
        layout.norm(f"{block}.attention.key_norm", f"{layer}.attn.k_norm")
    layout.norm(f"{block}.attention_norm" if branch_norms else f"{block}.norm_1", f"{layer}.norm1")
    layout.norm(f"{block}.mlp_norm" if branch_norms else f"{block}.norm_2", f"{layer}.norm2")
    for parameter, tensor in (("attention_scale", "ls1.gamma"), ("mlp_scale", "ls2.gamma")):
        if layout.has(f"{layer}.{tensor}"):
            layout.array(f"{block}.{parameter}", f"{layer}.{tensor}")
    first = checkpoint.tensor(f"{layout.prefix}{layer}.mlp.fc1.weight").shape[0]
    hidden = checkpoint.tensor(f"{layout.prefix}{layer}.mlp.fc2.weight").shape[1]
    if first == 2 * hidden:  # the gate comes first
        layout.linear(f"{block}.mlp.gate", f"{layer}.mlp.fc1", rows=slice(0, hidden))
        layout.linear(f"{block}.mlp.hidden", f"{layer}.mlp.fc1", rows=slice(hidden, first))
    else:
        layout.linear(f"{block}.mlp.hidden", f"{layer}.mlp.fc1")
    layout.linear(f"{block}.mlp.output", f"{layer}.mlp.fc2")


def _heads(
    layout: Layout, config: Config, args: Config, norm: Norm, pooling: AttentionPooling, prefix: int, width: int
) -> tuple[dict[str, Head | AttentionPooling], dict[str, tuple[str, ...]]]:
    """Pooling as ``global_pool`` says, and the classifier; DeiT's two classifiers are averaged."""
    pool = args.get("global_pool", None)
    pool = config.get("global_pool", "token") if pool is None else pool
    config.ignore("global_pool")
    heads: dict[str, Head | AttentionPooling] = {}
    if layout.has("head_dist.weight"):
        layout.linear("heads.cls_logits.output", "head")
        layout.linear("heads.distillation_logits.output", "head_dist")
        heads = {"cls_logits": Head(pool="first"), "distillation_logits": Head(pool="second")}
        return heads, {"logits": ("cls_logits", "distillation_logits")}
    prefix = 0 if args.get("pool_include_prefix", False) else prefix
    if pool == "map" and not prefix:
        _place_attention_pooling(layout, width)
        heads["pooler_output"] = pooling
    elif pool in _POOLS:
        heads["pooler_output"] = Head(pool=_POOLS[pool], prefix=prefix, norm=norm)
        if layout.has("fc_norm.weight"):
            layout.norm("heads.pooler_output.norm", "fc_norm")
    else:
        raise config.error("global_pool", f"expected one of {', '.join(map(repr, _POOLS))} or 'map'; got {pool!r}")
    if layout.has("head.weight"):
        layout.linear("heads.logits.output", "head")
        heads["logits"] = Head("pooler_output")
    return heads, {}


def _place_attention_pooling(layout: Layout, width: int) -> None:
    """The latent query, its attention over the tokens, and the MLP."""
    pooling = "heads.pooler_output"
    layout.array(f"{pooling}.probe", "attn_pool.latent", shape=(width,))
    layout.linear(f"{pooling}.query", "attn_pool.q")
    layout.linear(f"{pooling}.key", "attn_pool.kv", rows=slice(0, width))
    layout.linear(f"{pooling}.value", "attn_pool.kv", rows=slice(width, 2 * width))
    layout.linear(f"{pooling}.output", "attn_pool.proj")
    layout.norm(f"{pooling}.norm", "attn_pool.norm")
    layout.linear(f"{pooling}.mlp.hidden", "attn_pool.mlp.fc1")
    layout.linear(f"{pooling}.mlp.output", "attn_pool.mlp.fc2")
