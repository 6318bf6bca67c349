"""The arrays behind an attention figure and its caption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.data.array_files import load_npz
from headwise.errors import DataError
from headwise.files import atomic_write
from headwise.metrics.faithfulness import Faithfulness
from headwise.shapes import Array, BoolArray, IntArray, bind
from headwise.thresholds import BACKGROUND, INK

__all__ = ["AttentionRecord"]


_SCORE = "faithfulness_"  # prefix of a faithfulness score's values in a file
_SAVED = {  # every other array of a file: the kind of its numbers and how many axes it has
    "image": ("f", 2),
    "boxes": ("i", 2),
    "weights": ("f", 4),
    "probabilities": ("f", 1),
    "label": ("i", 0),
    "head_width": ("i", 0),
    "positions": ("f", 2),
    "dropped_weight": ("f", 0),
    "pixels_permuted": ("b", 0),
    "unverified": ("b", 0),
    "curves": ("f", 3),
    "ranking": ("f", 1),
}
_KIND_NAMES = {"f": "floating-point number", "i": "whole number", "b": "truth value"}


@dataclass(frozen=True)
class AttentionRecord:
    """What a model attends to in one image: everything that figures show and captions state.

    Attributes
    ----------
    image : ndarray of shape (Y, X)
        As the model sees it, from 0 (background) to 1 (ink); all zero if there is none.
    boxes : ndarray of int of shape (N, 4)
        Top, left, height and width of each token, in pixels.
    weights : ndarray of shape (L, H, T, T)
        Attention weights of every layer and head. T is 1 + N with a class token, which comes first, or N without.
    probabilities : ndarray of shape (C,)
        Class probabilities; empty if they are unknown.
    label : int
        The true class; −1 if it is unknown.
    head_width : int
        d in the logits' 1/√d; 0 if it is unknown.
    positions : ndarray of shape (N, D)
        Position embeddings of the tokens, without that of the class token; empty if they are unknown.
    dropped_weight : float
        Mean weight, over all rows, of tokens that had been removed from the arrays.
    pixels_permuted : bool
        Whether the pixels were permuted before the image was divided into tokens.
    unverified : bool
        Whether nothing shows that the weights are those with which the model computed its output.
    curves : ndarray of shape (2, 5, N + 1)
        The probability of the predicted class while tokens are deleted, and while they are inserted: in the order of
        `ranking`, in the order of ink, and for random orders the mean and both bounds of the central 95%. Empty if
        they were not measured.
    ranking : ndarray of shape (N,)
        The map whose faithfulness was tested; empty if none was.
    faithfulness : Faithfulness or None
        The result of that test.
    """

    image: Array
    boxes: IntArray
    weights: Array
    probabilities: Array
    label: int = -1
    head_width: int = 0
    positions: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    dropped_weight: float = 0.0
    pixels_permuted: bool = False
    unverified: bool = False
    curves: Array = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    ranking: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    faithfulness: Faithfulness | None = None

    def __post_init__(self) -> None:
        sizes = bind("Y X", image=self.image).bind("N 4", boxes=self.boxes).bind("C", probabilities=self.probabilities)
        tokens = sizes["N"] + self.has_class_token
        bind(f"L H {tokens} {tokens}", weights=self.weights)
        if self.positions.size:
            sizes.bind("N D", positions=self.positions)
        if self.curves.size:
            bind(f"2 5 {sizes['N'] + 1}", curves=self.curves)
        if self.faithfulness is not None:
            sizes.bind("N", ranking=self.ranking)

    @property
    def num_tokens(self) -> int:
        """N, the number of tokens of the image."""
        return len(self.boxes)

    @property
    def has_class_token(self) -> bool:
        """Whether the first token is a class token."""
        return bool(self.weights.shape[-1] != self.num_tokens)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def ink(self) -> BoolArray:
        """(Y, X): the pixels that are ink; none unless the image is a drawing, at least half of it background."""
        return (self.image > INK) & bool((self.image < BACKGROUND).mean() >= INK)

    @property
    def maps(self) -> Array:
        """(L, H, N): the class token's weights on the tokens; without a class token, the mean over all rows."""
        return self.weights[:, :, 0, 1:] if self.has_class_token else self.weights.mean(axis=2)

    @property
    def last_layer_map(self) -> Array:
        """(N,): the last layer's maps, averaged over heads."""
        return np.asarray(self.maps[-1].mean(axis=0))

    def was_tested(self, ranking: Array) -> bool:
        """Whether `faithfulness` is the score of this map, (N,)."""
        return self.faithfulness is not None and bool(np.allclose(ranking, self.ranking, rtol=1e-4))

    def row(self, token: int) -> Array:
        """(L, H, N): one token's weights on the tokens of the image.

        Parameters
        ----------
        token : int
            From 1 to N, or 0 for the class token.

        Raises
        ------
        DataError
            If there is no such token.
        """
        return self.weights[:, :, self.index(token), int(self.has_class_token) :]

    def index(self, token: int) -> int:
        """The position in the weights of a token, 1 to N or 0 for the class token."""
        if not 1 - self.has_class_token <= token <= self.num_tokens:
            zero = (
                "0 for the class token, or " if self.has_class_token else "these arrays have no class token; expected "
            )
            raise DataError(f"token: {zero}1 to {self.num_tokens} in reading order; got {token}.")
        return token - (not self.has_class_token)

    def save(self, path: Path) -> None:
        """Write the arrays to an .npz file."""
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self) if f.name != "faithfulness"}
        if (score := self.faithfulness) is not None:
            arrays |= {_SCORE + f.name: np.asarray(getattr(score, f.name)) for f in fields(score)}
        with atomic_write(path) as tmp_path:
            np.savez(tmp_path, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> AttentionRecord:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If there is no such file, it cannot be read, or it holds other arrays.
        """
        return cls.from_arrays(load_npz(path))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> AttentionRecord:
        """Build a record from the arrays of a file, by name.

        Raises
        ------
        DataError
            If an array is missing or is not what `save` writes.
        ShapeError
            If the arrays do not fit together.
        """
        if missing := _SAVED.keys() - arrays.keys():
            raise DataError(f"arrays: not those of an attention record; missing {', '.join(sorted(missing))}.")
        for name, (kinds, axes) in _SAVED.items():
            _check_array(name, arrays[name], kinds, axes)
        values: dict[str, Any] = {n: arrays[n] if axes else arrays[n].item() for n, (_, axes) in _SAVED.items()}
        scores = {name.removeprefix(_SCORE): arrays[name] for name in arrays if name.startswith(_SCORE)}
        record = cls(**values, faithfulness=_faithfulness(scores) if scores else None)
        if record.image.min(initial=0) < 0 or record.image.max(initial=0) > 1:
            raise DataError("image: expected pixels from 0 to 1; some are outside this range.")
        corner, side = record.boxes[:, :2], record.boxes[:, 2:]
        if not len(corner) or corner.min() < 0 or side.min() < 1 or (corner + side > record.size).any():
            raise DataError(f"boxes: expected tokens within the image's {record.size[0]} × {record.size[1]} pixels.")
        return record

    @staticmethod
    def is_record(arrays: Mapping[str, object]) -> bool:
        """Whether arrays of these names were written by `save`."""
        return arrays.keys() >= _SAVED.keys()


def _check_array(name: str, array: npt.NDArray[Any], kinds: str, axes: int) -> None:
    """Raise DataError for an array of another type or number of axes, or one with NaN or infinity."""
    if array.dtype.kind not in kinds or array.ndim != axes:
        number = _KIND_NAMES[kinds]
        expected = f"{number}s, {axes}-dimensional" if axes else f"one {number}"
        raise DataError(f"{name}: expected {expected}; got {array.dtype} of shape {array.shape}.")
    if not np.isfinite(array).all():
        raise DataError(f"{name}: expected numbers; some are NaN or infinite.")


def _faithfulness(scores: Mapping[str, npt.NDArray[Any]]) -> Faithfulness:
    expected = {f.name: str(f.type) for f in fields(Faithfulness)}
    if unexpected := expected.keys() ^ scores.keys():
        names = ", ".join(sorted(unexpected))
        raise DataError(f"{_SCORE}…: expected the scores of one faithfulness test; missing or unknown: {names}.")
    for name, kind in expected.items():
        _check_array(_SCORE + name, scores[name], "i" if kind == "int" else "f", int(kind.startswith("tuple")))
        bind("3" if kind.startswith("tuple") else "", **{_SCORE + name: scores[name]})
    values: dict[str, Any] = {name: tuple(v.tolist()) if v.ndim else v.item() for name, v in scores.items()}
    return Faithfulness(**values)
