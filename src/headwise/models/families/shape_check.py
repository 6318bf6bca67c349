"""Checking that the shapes of a checkpoint's parameters fit one another and the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headwise.errors import ShapeError
from headwise.models.encoder import ImageEmbedding, Network
from headwise.nn.params import Params
from headwise.shapes import Array, AxisSizes, bind

if TYPE_CHECKING:
    from headwise.models.families.architecture import Source

_BLOCK = {
    "attention.query.weight": "Q D",
    "attention.key.weight": "K D",
    "attention.value.weight": "V D",
    "attention.output.weight": "D O",
    "mlp.hidden.weight": "F D",
    "mlp.gate.weight": "F D",
    "mlp.output.weight": "D F",
    "attention_scale": "D",
    "mlp_scale": "D",
}
_NORMS = ("norm_1", "norm_2", "attention_norm", "mlp_norm")


def check_shapes(params: Params, network: Network, sources: Mapping[str, Source]) -> None:
    """Raise ShapeError for parameters that do not fit, by the names of their tensors in the file."""
    shapes = _Shapes(params, sources)
    for name in params:
        if name.endswith(".bias") and (weight := f"{name.removesuffix('.bias')}.weight") in params:
            bind("E", **{shapes.label(weight): params[weight][:, 0]}).bind("E", **{shapes.label(name): params[name]})
    width = _embedding_width(shapes, network)
    shapes.bind(_sizes(width), "norm.gain", "D")
    for i, block in enumerate(network.trunk.blocks):
        prefix = f"blocks.{network.trunk.group(i)}"
        sizes = _sizes(width)
        for local, pattern in _BLOCK.items():
            shapes.bind(sizes, f"{prefix}.{local}", pattern)
        for norm in _NORMS:
            for part in ("gain", "bias"):
                shapes.bind(sizes, f"{prefix}.{norm}.{part}", "D")
        heads, groups = block.attention.heads, block.attention.key_heads
        queries, keys, values, outputs = (sizes[letter] for letter in "QKVO")
        fits = queries % heads == 0 and queries // heads * groups == keys
        if not fits or values % groups or values // groups * heads != outputs:
            raise ShapeError(
                f"{shapes.label(f'{prefix}.attention.query.weight')}: {heads} heads and {groups} key heads do not fit "
                f"projections of {queries} (queries), {keys} (keys), {values} (values) and {outputs} (output) features."
            )


class _Shapes(NamedTuple):
    """The parameters, and the names of their tensors in the file."""

    params: Params
    sources: Mapping[str, Source]

    def label(self, parameter: str) -> str:
        """What a message calls the parameter."""
        return self.sources[parameter].tensor

    def bind(self, sizes: AxisSizes, parameter: str, pattern: str) -> None:
        """Bind the parameter, if it exists."""
        if parameter in self.params:
            array = self.params[parameter]
            sizes.bind(pattern, **{self.label(parameter): np.atleast_2d(array) if " " in pattern else array})


def _embedding_width(shapes: _Shapes, network: Network) -> tuple[str, Array]:
    """An array (D,) of the embedding, and its name in the file."""
    params, embedding = shapes.params, network.embedding
    if isinstance(embedding, ImageEmbedding):
        weight = "embedding.patch.weight"
        inputs = embedding.channels * embedding.patch[0] * embedding.patch[1]
        sizes = bind(f"D {inputs}", **{shapes.label(weight): params[weight]})
        shapes.bind(sizes, "embedding.position", "P D")
        for letter, name in zip("RST", embedding.prefix, strict=False):
            shapes.bind(sizes, f"embedding.{name}", f"{letter} D")
        return shapes.label(weight), params[weight][:, 0]
    if "embedding.word" not in params:  # sound
        return shapes.label("embedding.position"), params["embedding.position"][0]
    sizes = bind("V E", **{shapes.label("embedding.word"): params["embedding.word"]})
    for name, pattern in (("position", "P E"), ("type", "T E"), ("norm.gain", "E"), ("norm.bias", "E")):
        shapes.bind(sizes, f"embedding.{name}", pattern)
    if (projection := "embedding.projection.weight") in params:
        shapes.bind(sizes, projection, "D E")
        return shapes.label(projection), params[projection][:, 0]
    return shapes.label("embedding.word"), params["embedding.word"][0]


def _sizes(width: tuple[str, Array]) -> AxisSizes:
    return bind("D", **{width[0]: width[1]})
