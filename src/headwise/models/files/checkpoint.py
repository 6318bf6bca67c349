"""A checkpoint as every reader returns it: configuration, and tensors that are read when they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headwise.errors import CheckpointError
from headwise.shapes import Array


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file."""

    shape: tuple[int, ...]
    read: Callable[[], Array]  # returns the array; float16 and bfloat16 are widened to float32

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk."""

    path: Path  # the folder or file
    # as config.json has it; what a .gguf file says in its metadata is translated to the same names
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    # what the file itself contains of a tokenizer; None for folders, which have separate files for it
    tokenizer: Any = field(default=None, repr=False)

    def tensor(self, name: str) -> Tensor:
        """The tensor of this name.

        Raises CheckpointError if there is none.
        """
        if name not in self.tensors:
            raise CheckpointError(f"{self.path}: it has no tensor {name!r}, which its configuration calls for.")
        return self.tensors[name]
