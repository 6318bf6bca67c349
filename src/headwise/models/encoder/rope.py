"""Frequencies of rotary position embeddings, in the scaled variants that checkpoints name in their configuration.

Computed in float32, as the models were trained. Sources: Su et al., arXiv 2104.09864 (default); Peng et al., "YaRN",
arXiv 2309.00071 (linear, dynamic, yarn); Ding et al., "LongRoPE", arXiv 2402.13753; Llama 3.1's model card (llama3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headwise.errors import DataError
from headwise.nn.rotary import Pairing, Rotation
from headwise.shapes import Array, IntArray
from headwise.validation import check_choice


@dataclass(frozen=True, eq=False)  # compared and hashed by identity: options may be a dict
class Rope:
    """A rotary position embedding."""

    width: int  # how many features of a head rotate
    theta: float = 10000.0  # the base: pair i rotates by position · θ^(−2i/width)
    kind: str = "default"  # one of `ROPE_TYPES`
    # what the kind needs, by the names of transformers' configuration, such as ``factor``
    options: Mapping[str, Any] = field(default_factory=dict)
    max_positions: int = 2048  # the longest sequence of the configuration; ``dynamic`` and ``longrope`` depend on it
    pairing: Pairing = "halves"  # which features form a pair
    # (width / 2,): divide the frequencies; a .gguf file stores the scaling of ``llama3`` so
    factors: Array | None = None

    def __post_init__(self) -> None:
        check_choice("rope_type", self.kind, ROPE_TYPES)
        if missing := [name for name in _NEEDED[self.kind] if self.options.get(name) is None]:
            raise DataError(f"rope_parameters: type {self.kind!r} needs {', '.join(missing)}.")

    def rotation(self, positions: IntArray, dtype: np.dtype[Any]) -> Rotation:
        """Cosines and sines (..., N, width / 2) for positions (..., N)."""
        length = int(positions.max(initial=0)) + 1
        frequencies, amplitude = ROPE_TYPES[self.kind](self, length)
        if self.factors is not None:
            frequencies = frequencies / self.factors
        angles = positions[..., None].astype(np.float32) * frequencies.astype(np.float32)
        cosine, sine = (wave(angles.astype(np.float64)).astype(np.float32) for wave in (np.cos, np.sin))
        scale = np.float32(amplitude)
        return Rotation((cosine * scale).astype(dtype), (sine * scale).astype(dtype), self.pairing)


def _periods(rope: Rope, theta: float) -> Array:
    """θ^(2i/width), of which the frequencies are the inverse."""
    exponents = np.arange(0, rope.width, 2, dtype=np.float32) / np.float32(rope.width)
    return np.float32(theta) ** exponents


def _dynamic(rope: Rope, length: int) -> tuple[Array, float]:
    """The base grows with the sequence once it is longer than the model was trained for."""
    factor, trained = rope.options["factor"], rope.max_positions
    growth = factor * max(length, trained) / trained - (factor - 1)
    return 1 / _periods(rope, rope.theta * growth ** (rope.width / (rope.width - 2))), 1.0


def _llama3(rope: Rope, length: int) -> tuple[Array, float]:
    """Long wavelengths are stretched, short ones are not, and those between are blended."""
    factor = rope.options["factor"]
    low, high = rope.options["low_freq_factor"], rope.options["high_freq_factor"]
    frequencies = 1 / _periods(rope, rope.theta)
    turns = rope.options["original_max_position_embeddings"] * frequencies / np.float32(2 * math.pi)
    blend = np.clip((turns - low) / (high - low), 0, 1).astype(np.float32)
    return (1 - blend) * frequencies / np.float32(factor) + blend * frequencies, 1.0


def _yarn(rope: Rope, length: int) -> tuple[Array, float]:
    """Features with many turns over the trained length are left alone, those with few are stretched."""
    trained = rope.options["original_max_position_embeddings"]
    factor = rope.options.get("factor") or rope.max_positions / trained
    bounds = [
        rope.width * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))
        for turns in (rope.options.get("beta_fast") or 32, rope.options.get("beta_slow") or 1)
    ]
    if rope.options.get("truncate", True):
        bounds = [math.floor(bounds[0]), math.ceil(bounds[1])]
    low, high = max(bounds[0], 0), min(bounds[1], rope.width - 1)
    steps = np.arange(rope.width // 2, dtype=np.float32)
    stretched = np.clip((steps - low) / (high - low if high != low else 0.001), 0, 1).astype(np.float32)
    periods = _periods(rope, rope.theta)
    frequencies = stretched / (np.float32(factor) * periods) + (1 - stretched) / periods
    return frequencies, _yarn_amplitude(rope.options, factor)


def _yarn_amplitude(options: Mapping[str, Any], factor: float) -> float:
    def amplitude(scale: float = 1.0) -> float:
        return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0

    if options.get("attention_factor") is not None:
        return float(options["attention_factor"])
    if options.get("mscale") and options.get("mscale_all_dim"):
        return amplitude(options["mscale"]) / amplitude(options["mscale_all_dim"])
    return amplitude()


def _longrope(rope: Rope, length: int) -> tuple[Array, float]:
    """Each feature has its own stretch, one set for short sequences and one for long."""
    trained = rope.options["original_max_position_embeddings"]
    factor = rope.options.get("factor") or rope.max_positions / trained
    stretch = np.asarray(rope.options["long_factor" if length > trained else "short_factor"], np.float32)
    if stretch.shape != (rope.width // 2,):
        raise DataError(f"rope_parameters: expected {rope.width // 2} factors; got {stretch.size}.")
    amplitude = rope.options.get("attention_factor")
    if amplitude is None:
        amplitude = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(trained))
    return 1 / (stretch * _periods(rope, rope.theta)), float(amplitude)


ROPE_TYPES: dict[str, Callable[[Rope, int], tuple[Array, float]]] = {
    "default": lambda rope, length: (1 / _periods(rope, rope.theta), 1.0),
    "linear": lambda rope, length: (1 / _periods(rope, rope.theta) / np.float32(rope.options["factor"]), 1.0),
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
}
_NEEDED: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("original_max_position_embeddings",),
    "longrope": ("original_max_position_embeddings", "short_factor", "long_factor"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
