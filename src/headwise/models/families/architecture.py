"""What a family makes of a configuration: a network, and where in the file each parameter is.

The shapes of the parameters must fit one another and the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from headwise.errors import CheckpointError, ShapeError
from headwise.models.encoder import ImageEmbedding, Network
from headwise.models.files import Checkpoint
from headwise.nn.params import Params
from headwise.shapes import Array, AxisSizes, IntArray, bind

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


@dataclass(frozen=True)
class Source:
    """Where a parameter is: a tensor, transposed or not, some of its rows, reshaped."""

    tensor: str  # name in the file
    rows: slice | IntArray | None = None  # which rows, after transposing; all by default
    transposed: bool = False  # whether the file has (in, out) instead of (out, in)
    shape: tuple[int, ...] | None = None  # of the parameter; that of the rows by default

    def take(self, array: Array) -> Array:
        """The parameter, as a view of the tensor where that is possible."""
        if self.transposed:
            array = array.T
        if self.rows is not None:
            array = array[self.rows]
        return array if self.shape is None else array.reshape(self.shape)

    def add(self, gradient: Array, total: Array) -> None:
        """Add the parameter's gradient to the tensor's."""
        target = total.T if self.transposed else total
        rows = slice(None) if self.rows is None else self.rows
        target[rows] += gradient.reshape(target[rows].shape)


@dataclass
class Layout:
    """Where the parameters of a network are in a checkpoint; filled by a family."""

    tensors: Collection[str]  # names in the file
    prefix: str = ""  # of the tensors in the file, such as ``"bert."``
    sources: dict[str, Source] = field(default_factory=dict)  # by parameter

    @classmethod
    def find(cls, checkpoint: Checkpoint, anchor: str, *prefixes: str) -> Layout:
        """Tensors below the first prefix under which the file has the anchor; the last one if none has it."""
        tensors = checkpoint.tensors
        return cls(tensors, next((prefix for prefix in prefixes if prefix + anchor in tensors), prefixes[-1]))

    def below(self, prefix: str) -> Layout:
        """The same layout with another prefix of the tensors."""
        return Layout(self.tensors, prefix, self.sources)

    def has(self, tensor: str) -> bool:
        """Whether the file has this tensor."""
        return self.prefix + tensor in self.tensors

    def array(
        self,
        parameter: str,
        tensor: str,
        *,
        rows: slice | IntArray | None = None,
        transposed: bool = False,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """One array; see `Source`."""
        self.sources[parameter] = Source(self.prefix + tensor, rows, transposed, shape)

    def linear(
        self,
        parameter: str,
        tensor: str,
        *,
        bias: bool = True,
        rows: slice | IntArray | None = None,
        transposed: bool = False,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        """A weight matrix, and a bias if the layer has one."""
        self.array(f"{parameter}.weight", f"{tensor}.weight", rows=rows, transposed=transposed, shape=shape)
        if bias:
            self.array(f"{parameter}.bias", f"{tensor}.bias", rows=rows)

    def fused_qkv(
        self, attention: str, tensor: str, width: int, *, bias: bool = True, transposed: bool = False
    ) -> None:
        """The projections of one linear layer, whose rows are the queries', the keys' and the values'."""
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(part * width, (part + 1) * width)
            self.linear(f"{attention}.{name}", tensor, bias=bias, rows=rows, transposed=transposed)

    def norm(self, parameter: str, tensor: str, *, bias: bool = True) -> None:
        """A normalisation."""
        self.array(f"{parameter}.gain", f"{tensor}.weight")
        if bias:
            self.array(f"{parameter}.bias", f"{tensor}.bias")

    def parts(self, parameter: str, tensor: str, names: Mapping[str, str]) -> None:
        """The linear layers and normalisations of a block or a head, by their names in the file."""
        for name, part in names.items():
            (self.norm if "norm" in name else self.linear)(f"{parameter}.{name}", f"{tensor}.{part}")

    def output(self, tensor: str, name: str = "logits", *, bias: bool = True) -> bool:
        """The last layer of a head, outside the prefix, if the file has it; returns whether it does."""
        outside = self.below("")
        if exists := outside.has(f"{tensor}.weight"):
            outside.linear(f"heads.{name}.output", tensor, bias=bias)
        return exists

    def modules(self, pattern: str, depth: int) -> tuple[str, ...]:
        """The names in the file of a module of each block; the pattern has {} for the block's number."""
        return tuple(self.prefix + pattern.format(i) for i in range(depth))


@dataclass(frozen=True)
class Architecture:
    """A network and its place in a checkpoint."""

    family: str
    kind: str  # what the network reads
    network: Network
    sources: Mapping[str, Source]  # by parameter
    attention_names: tuple[str, ...]  # the name in the file of each block's attention module
    # patterns of tensors that this network does not use, such as buffers and heads of other tasks
    unused: tuple[str, ...] = ()
    tied_last: bool = True  # whether transformers puts the normalised output in place of the last hidden state

    def params(self, checkpoint: Checkpoint, dtype: np.dtype | None = None) -> Params:
        """Read the parameters; tensors that several parameters share are read once.

        Raises CheckpointError if a tensor is missing, has the wrong shape, or is unknown.
        """
        self._check_unused(checkpoint)
        arrays: dict[str, Array] = {}
        params = {}
        for parameter, source in self.sources.items():
            if source.tensor not in arrays:
                array = checkpoint.tensor(source.tensor).read()
                if not np.isfinite(array.sum(dtype=np.float64)):
                    raise CheckpointError(f"{checkpoint.path}: {source.tensor}: it holds NaN or infinity.")
                arrays[source.tensor] = array if dtype is None else array.astype(dtype, copy=False)
            try:
                params[parameter] = source.take(arrays[source.tensor])
            except (ValueError, IndexError):
                raise CheckpointError(
                    f"{checkpoint.path}: {source.tensor}: its shape {arrays[source.tensor].shape} does not fit the "
                    "configuration."
                ) from None
        try:
            check_shapes(params, self.network, self.sources)
        except ShapeError as error:
            raise CheckpointError(f"{checkpoint.path}: {error}") from None
        return params

    def _check_unused(self, checkpoint: Checkpoint) -> None:
        used = {source.tensor for source in self.sources.values()}
        for name in checkpoint.tensors:
            if name not in used and not any(re.fullmatch(pattern, name) for pattern in self.unused):
                raise CheckpointError(
                    f"{checkpoint.path}: unknown tensor {name!r}, which a model of family {self.family} does not have "
                    "with these options."
                )


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
