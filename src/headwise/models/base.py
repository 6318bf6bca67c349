"""The Model protocol: what every tool needs of a model, whatever framework runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from headwise.recorder import Capture
from headwise.shapes import Array, BoolArray, IntArray, bind

__all__ = ["Capability", "Model", "Tokens"]

Capability = Literal["tokens", "look", "predict", "gradients"]


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of one input, and where each lies.

    Attributes
    ----------
    kind : {"image", "text", "series", "other"}
        What the locations mean.
    locations : ndarray of int of shape (T, 4) or (T, 2)
        For an image top, left, height and width of each token in pixels; for a text the first character and one past
        the last; for a series the first step and one past the last. Zeros for prefix tokens, and for ``"other"``.
    prefix : ndarray of bool of shape (T,)
        Which tokens stand for no part of the input: class, distillation, registers, special tokens.
    labels : tuple of str
        A name per token, such as its text; empty if there are none.

    Raises
    ------
    ShapeError
        If the arrays do not describe the same number of tokens.
    """

    kind: Literal["image", "text", "series", "other"]
    locations: IntArray
    prefix: BoolArray
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bind(f"T {4 if self.kind == 'image' else 2}", locations=self.locations).bind("T", prefix=self.prefix)
        if self.labels:
            bind(f"{len(self.prefix)}", labels=np.empty(len(self.labels)))

    def __len__(self) -> int:
        return len(self.prefix)


@runtime_checkable
class Model(Protocol):
    """A model as the tools use it. One input is one image, one text, one series; results are for this input alone.

    A tool asks `capabilities` first and reports what is missing, instead of failing in the middle.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Which of the four methods can be called."""

    def tokens(self, input: Any) -> Tokens:
        """The tokens of the input in the order of the attention weights, T of them."""

    def look(self, input: Any) -> Capture:
        """Run the model on the input and record what it attends to; batch size 1."""

    def predict(self, input: Any, keep: BoolArray | None = None) -> Array:
        """Scores (C,) of the input, before any softmax; with `keep` (S, T) scores (S, C) without the other tokens.

        Prefix tokens are always kept.
        """

    def gradients(self, input: Any, target: int) -> tuple[Array, ...]:
        """Gradients of the target's score with respect to the weights of each layer, (1, H, N, M) each."""
