"""Options that several families have in common, read from a configuration."""

from __future__ import annotations

from headwise.models.encoder import ROPE_TYPES, Rope
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
