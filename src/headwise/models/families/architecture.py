"""What a family makes of a configuration: a network, and where in the file each parameter is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from headwise.errors import CheckpointError, ShapeError
from headwise.models.encoder import Network
from headwise.models.families.shape_check import check_shapes
from headwise.models.files import Checkpoint
from headwise.nn.params import Params
from headwise.shapes import Array, IntArray


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
