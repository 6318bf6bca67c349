"""What a picture of attention shows and its caption says, as arrays."""

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


_TESTED = "tested_"  # before the names of a faithfulness score's values, in a file
_SAVED = {  # the others: what numbers they are, and of how many axes
    "image": ("f", 2),
    "boxes": ("i", 2),
    "weights": ("f", 4),
    "probabilities": ("f", 1),
    "label": ("i", 0),
    "head_width": ("i", 0),
    "positions": ("f", 2),
    "cut_off": ("f", 0),
    "rearranged": ("b", 0),
    "curves": ("f", 3),
    "ranking": ("f", 1),
}


@dataclass(frozen=True)
class AttentionRecord:
    """All that the pictures show and their captions say, as arrays.

    Attributes
    ----------
    image : ndarray of shape (Y, X)
        As it is cut, from 0 (background) to 1 (ink); all zero where there is none.
    boxes : ndarray of int of shape (N, 4)
        Top, left, height and width of each token, in pixels.
    weights : ndarray of shape (L, H, T, T)
        Attention weights of every layer and head. T is 1 + N with a class token, which comes first, or N without.
    probabilities : ndarray of shape (C,)
        Of the classes; empty where they are not known.
    label : int
        The true class; −1 where it is not known.
    head_width : int
        d in the logits' 1/√d; 0 where it is not known.
    positions : ndarray of shape (N, D)
        The tokens' position embeddings, without the class token's; empty where they are not known.
    cut_off : float
        Mean weight of the tokens that were cut off the arrays before they came, in all rows.
    rearranged : bool
        Whether the pixels changed places before the image was cut.
    curves : ndarray of shape (2, 5, N + 1)
        What the model answers while tokens are taken away, and put in: in the order of the map that is tested, of the
        ink, and of random orders their mean and the bounds of the middle 95%. Empty if that was not measured.
    ranking : ndarray of shape (N,)
        The map that was tested; empty if none was.
    tested : Faithfulness or None
        How far that map can be believed.
    """

    image: Array
    boxes: IntArray
    weights: Array
    probabilities: Array
    label: int = -1
    head_width: int = 0
    positions: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    cut_off: float = 0.0
    rearranged: bool = False
    curves: Array = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    ranking: Array = field(default_factory=lambda: np.zeros(0, np.float32))
    tested: Faithfulness | None = None

    def __post_init__(self) -> None:
        sizes = bind("Y X", image=self.image).bind("N 4", boxes=self.boxes).bind("C", probabilities=self.probabilities)
        tokens = sizes["N"] + self.classed
        bind(f"L H {tokens} {tokens}", weights=self.weights)
        if self.positions.size:
            sizes.bind("N D", positions=self.positions)
        if self.curves.size:
            bind(f"2 5 {sizes['N'] + 1}", curves=self.curves)
        if self.tested is not None:
            sizes.bind("N", ranking=self.ranking)

    @property
    def tokens(self) -> int:
        """N, the tokens of the image."""
        return len(self.boxes)

    @property
    def classed(self) -> bool:
        """Whether there is a class token."""
        return bool(self.weights.shape[-1] != self.tokens)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def ink(self) -> BoolArray:
        """(Y, X): which pixels are ink; none unless the image is a drawing, on a background that fills half of it."""
        return (self.image > INK) & bool((self.image < BACKGROUND).mean() >= INK)

    @property
    def maps(self) -> Array:
        """(L, H, N): the class token's weights on the tokens; without one, the mean over all rows."""
        return self.weights[:, :, 0, 1:] if self.classed else self.weights.mean(axis=2)

    @property
    def last(self) -> Array:
        """(N,): the maps of the last layer, averaged over heads."""
        return np.asarray(self.maps[-1].mean(axis=0))

    def was_tested(self, ranking: Array) -> bool:
        """Whether this map, (N,), is the one that was tested."""
        return self.tested is not None and bool(np.allclose(ranking, self.ranking, rtol=1e-4))

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
        return self.weights[:, :, self.index(token), int(self.classed) :]

    def index(self, token: int) -> int:
        """Where a token, 1 to N or 0 for the class token, is in the weights."""
        if not 1 - self.classed <= token <= self.tokens:
            zero = "0 for the class token, or " if self.classed else "these arrays have no class token; expected "
            raise DataError(f"token: {zero}1 to {self.tokens} in reading order; got {token}.")
        return token - (not self.classed)

    def save(self, path: Path) -> None:
        """Write the arrays to an .npz file."""
        arrays = {f.name: np.asarray(getattr(self, f.name)) for f in fields(self) if f.name != "tested"}
        if self.tested is not None:
            arrays |= {_TESTED + f.name: np.asarray(getattr(self.tested, f.name)) for f in fields(self.tested)}
        with atomic_write(path) as beside:
            np.savez(beside, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> AttentionRecord:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            If there is no such file, it cannot be read, or it holds other arrays.
        """
        return cls.of(load_npz(path))

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> AttentionRecord:
        """The same from the arrays of the file, by name.

        Raises
        ------
        DataError
            If one is missing, or is not what `save` writes.
        ShapeError
            If they do not fit one another.
        """
        if missing := _SAVED.keys() - arrays.keys():
            raise DataError(f"arrays: not those of a picture; missing {', '.join(sorted(missing))}.")
        for name, (kinds, axes) in _SAVED.items():
            _check(name, arrays[name], kinds, axes)
        own: dict[str, Any] = {n: arrays[n] if axes else arrays[n].item() for n, (_, axes) in _SAVED.items()}
        scores = {name.removeprefix(_TESTED): arrays[name] for name in arrays if name.startswith(_TESTED)}
        made = cls(**own, tested=_scored(scores) if scores else None)
        if made.image.min(initial=0) < 0 or made.image.max(initial=0) > 1:
            raise DataError("image: expected pixels from 0 to 1; some are beyond.")
        place, side = made.boxes[:, :2], made.boxes[:, 2:]
        if not len(place) or place.min() < 0 or side.min() < 1 or (place + side > made.size).any():
            raise DataError(f"boxes: expected tokens within the image's {made.size[0]} × {made.size[1]} pixels.")
        return made

    @staticmethod
    def owns(arrays: Mapping[str, object]) -> bool:
        """Whether arrays of these names are those of a picture, which `save` wrote."""
        return arrays.keys() >= _SAVED.keys()


def _check(name: str, array: npt.NDArray[Any], kinds: str, axes: int) -> None:
    """Refuse an array of another type or number of axes, or one that holds NaN."""
    if array.dtype.kind not in kinds or array.ndim != axes:
        number = {"f": "floating-point number", "i": "whole number", "b": "truth value"}[kinds]
        what = f"{number}s, {axes}-dimensional" if axes else f"one {number}"
        raise DataError(f"{name}: expected {what}; got {array.dtype} of shape {array.shape}.")
    if not np.isfinite(array).all():
        raise DataError(f"{name}: expected numbers; some are NaN or infinite.")


def _scored(scores: Mapping[str, npt.NDArray[Any]]) -> Faithfulness:
    expected = {f.name: str(f.type) for f in fields(Faithfulness)}
    if odd := expected.keys() ^ scores.keys():
        raise DataError(
            f"{_TESTED}…: expected the scores of one test; missing, or not of it: {', '.join(sorted(odd))}."
        )
    for name, kind in expected.items():
        _check(_TESTED + name, scores[name], "i" if kind == "int" else "f", int(kind.startswith("tuple")))
        bind("3" if kind.startswith("tuple") else "", **{_TESTED + name: scores[name]})
    values: dict[str, Any] = {name: tuple(v.tolist()) if v.ndim else v.item() for name, v in scores.items()}
    return Faithfulness(**values)
