"""The Model protocol: what every tool needs of a model, whatever framework runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard, runtime_checkable

import numpy as np

from headwise.errors import ShapeError
from headwise.recorder import Capture
from headwise.representation import brief_repr
from headwise.shapes import Array, BoolArray, IntArray, bind

Capability = Literal["tokens", "look", "predict", "gradients"]
CAPABILITIES: tuple[Capability, ...] = ("tokens", "look", "predict", "gradients")


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of one input, and where each lies.

    Attributes
    ----------
    kind : {"image", "text", "series", "other"}
        What the locations mean.
    locations : ndarray of int of shape (T, 4) or (T, 2)
        For an image top, left, height and width of each token in pixels; for a text the first character and one past
        the last; for a series (sound too) the first step and one past the last. Zeros for prefix tokens, and for
        ``"other"``.
    prefix : ndarray of bool of shape (T,)
        Which tokens stand for no part of the input, wherever they are: class, distillation, registers, special tokens.
    labels : tuple of str
        A name per token: its text, the row and column of a patch, ``[CLS]``; numbered from 0 by default.
    text : str
        What the locations of a text refer to; the two texts of a pair are joined by a line break.
    patches : (int, int), optional
        Rows and columns of the patches of an image; by default from their locations, which say nothing of an image
        with fewer pixels than patches.

    Raises
    ------
    ShapeError
        If the arrays do not describe the same number of tokens.
    """

    kind: Literal["image", "text", "series", "other"]
    locations: IntArray
    prefix: BoolArray
    labels: tuple[str, ...] = ()
    text: str = ""
    patches: tuple[int, int] | None = None

    __repr__ = brief_repr

    def __post_init__(self) -> None:
        bind(f"T {4 if self.kind == 'image' else 2}", locations=self.locations).bind("T", prefix=self.prefix)
        if not self.labels:
            object.__setattr__(self, "labels", tuple(map(str, range(len(self.prefix)))))
        bind(f"{len(self.prefix)}", labels=np.empty(len(self.labels)))

    def __len__(self) -> int:
        return len(self.prefix)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns, if the tokens that are no prefix are the cells of a grid in reading order."""
        if self.kind != "image" or self.patches:
            return self.patches
        top, left = self.locations[~self.prefix, :2].T
        rows, columns = len(np.unique(top)), len(np.unique(left))
        in_order = bool((np.lexsort((left, top)) == np.arange(len(top))).all())
        return (rows, columns) if rows * columns == len(top) and in_order else None


@runtime_checkable
class Model(Protocol):
    """A model as the tools use it. One input is one image, one text, one series; results are for this input alone.

    A tool checks `capabilities` first and reports the reason in `missing`, instead of failing in the middle. What can
    only be known of an input is a `DataError` with the reason when a method is called with it.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Which of the four methods can be called."""

    @property
    def missing(self) -> Mapping[Capability, str]:
        """Why each of the others cannot, as a sentence."""

    def tokens(self, input: Any) -> Tokens:
        """The tokens of the input in the order of the attention weights, T of them."""

    def look(self, input: Any) -> Capture:
        """Run the model on the input and record what it attends to; batch size 1."""

    def predict(self, input: Any, keep: BoolArray | None = None) -> Array:
        """Scores (C,) of the input, before any softmax; with `keep` (S, T) scores (S, C) without the other tokens.

        Prefix tokens are always kept.
        """

    def gradients(self, input: Any, target: int) -> tuple[Array, ...]:
        """Gradients of the target's score with respect to the weights of each layer that `look` returns, (1, H, N, M).

        Each weight moves by itself: the other weights of its row do not change.
        """


def is_model(value: Any) -> TypeGuard[Model]:
    """Whether it has what a `Model` has, also by ``__getattr__``, which isinstance has ignored since Python 3.12."""
    return all(hasattr(value, name) for name in ("capabilities", "missing", "tokens", "look", "predict", "gradients"))


def with_prefix_tokens(keep: BoolArray, prefix: BoolArray) -> BoolArray:
    """Sets of kept tokens (S, T) with the prefix tokens (T,) in each; raises ShapeError if they are no such sets."""
    keep = np.asarray(keep)
    if keep.dtype != bool or keep.ndim != 2 or keep.shape[1] != len(prefix):
        raise ShapeError(f"keep: expected booleans (S, T={len(prefix)}); got {keep.dtype} of shape {keep.shape}.")
    return keep | prefix


def in_batches(score: Callable[[BoolArray], Array], sets: BoolArray, size: int) -> Array:
    """Scores (S, C) of at least one set (S, T), computed for some sets at a time."""
    return np.concatenate([score(sets[start : start + size]) for start in range(0, len(sets), size)])


def grid_boxes(edges_y: IntArray, edges_x: IntArray) -> IntArray:
    """Boxes (N, 4) of the cells between these edges in reading order: top, left, height and width, at least a pixel."""
    y, x = (index.ravel() for index in np.indices((len(edges_y) - 1, len(edges_x) - 1)))
    height, width = (np.maximum(np.diff(edges), 1) for edges in (edges_y, edges_x))
    top, left = (np.minimum(edges[:-1], max(edges[-1] - 1, 0)) for edges in (edges_y, edges_x))
    return np.stack([top[y], left[x], height[y], width[x]], axis=1)


def patch_boxes(
    area: tuple[float, float, float, float], pixels: tuple[int, int], patch: tuple[float, float], grid: tuple[int, int]
) -> IntArray:
    """Boxes (N, 4) of a grid of patches, in pixels of an image whose area (left, top, right, bottom) a model sees.

    Pixels, patch and grid are heights and widths: of what the model sees, of a patch in it, and in patches.
    """
    left, top, right, bottom = area
    rows = top + (bottom - top) * np.arange(grid[0] + 1) * patch[0] / pixels[0]
    columns = left + (right - left) * np.arange(grid[1] + 1) * patch[1] / pixels[1]
    return grid_boxes(rows.round().astype(np.int64), columns.round().astype(np.int64))


def patch_labels(rows: int, columns: int) -> tuple[str, ...]:
    """Names of patches in reading order, such as ``"2,3"`` for the second row and the third column."""
    return tuple(f"{row},{column}" for row in range(1, rows + 1) for column in range(1, columns + 1))
