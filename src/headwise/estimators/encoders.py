"""What an estimator is given, made into what a network takes: a reader for each kind of data, learned in ``fit``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, ShapeError
from headwise.models.series import SeriesTransformerConfig
from headwise.models.sets import SetTransformerConfig
from headwise.models.tabular import TableTransformerConfig
from headwise.models.trainable import ImageModel, Inputs, SeriesModel, SetModel, TableModel, TrainableModel
from headwise.models.vit import ViTConfig
from headwise.shapes import Array, BoolArray, IntArray
from headwise.tokenizers.series import Standardizer
from headwise.tokenizers.tabular import ColumnEncoder, column_std, is_missing
from headwise.validation import check_counts, is_number

__all__ = ["DataEncoder", "ImageEncoder", "ModelSize", "SequenceEncoder", "TableEncoder", "stack_sequences"]


@dataclass(frozen=True)
class ModelSize:
    """How large a network is to be, whatever it reads."""

    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int

    def __post_init__(self) -> None:
        check_counts(d_model=self.d_model, n_layers=self.n_layers, n_heads=self.n_heads, d_ff=self.d_ff)


class DataEncoder(Protocol):
    """Reads one kind of data, and knows the network for it."""

    def transform(self, x: npt.NDArray[Any]) -> Inputs:
        """What the network takes."""

    def build_model(self, outputs: int, sizes: ModelSize) -> TrainableModel:
        """The network for what was learned from."""

    def reorder(self, weights: Array) -> Array:
        """Attention weights with the tokens in the order of the data."""

    @property
    def token_names(self) -> tuple[str, ...]:
        """The names of the tokens."""


@dataclass(frozen=True)
class TableEncoder:
    """Rows, of which some columns hold categories."""

    columns: ColumnEncoder
    numeric: tuple[int, ...]
    categorical: tuple[int, ...]

    @classmethod
    def fit(cls, x: npt.NDArray[Any], categories: Sequence[int], names: Sequence[str]) -> TableEncoder:
        """Learn the columns, whose names are given in their order."""
        numbers = tuple(j for j in range(x.shape[1]) if j not in set(categories))
        order = (*numbers, *categories)
        split = _split(x, numbers, tuple(categories), names)
        return cls(ColumnEncoder.fit(*split, [names[j] for j in order]), numbers, tuple(categories))

    def transform(self, x: npt.NDArray[Any]) -> Inputs:
        """Numbers and codes."""
        return self.columns.transform(*_split(x, self.numeric, self.categorical, self.token_names[1:]))

    def build_model(self, outputs: int, sizes: ModelSize) -> TrainableModel:
        """A table transformer."""
        levels = tuple(len(levels) for levels in self.columns.categories)
        return TableModel(
            TableTransformerConfig(
                len(self.numeric), levels, outputs, sizes.d_model, sizes.n_layers, sizes.n_heads, sizes.d_ff
            )
        )

    def reorder(self, weights: Array) -> Array:
        """The class token first, then the columns as they came."""
        order = np.array([0, *(1 + self._order)])
        return weights[..., order[:, None], order]

    @property
    def token_names(self) -> tuple[str, ...]:
        """The class token, then the columns as they came."""
        return ("class", *(self.columns.names[j] for j in self._order))

    @property
    def _order(self) -> IntArray:
        """Where each column of the data is among the numbers and then the categories."""
        return np.argsort((*self.numeric, *self.categorical))


@dataclass(frozen=True)
class SequenceEncoder:
    """Series or sets (B, N, V): rows of NaN at an item's end are padding."""

    ordered: bool
    max_length: int
    standardizer: Standardizer

    @classmethod
    def fit(cls, x: Array, *, ordered: bool) -> SequenceEncoder:
        """Learn where each variable lies."""
        return cls(ordered, x.shape[1], Standardizer.fit(x, _lengths(x)))

    def transform(self, x: Array) -> Inputs:
        """Standardised members or steps, zero in the padding, and lengths."""
        if x.shape[2] != self._variables:
            raise ShapeError(f"X: expected {self._variables} variables, as in training; got {x.shape[2]}.")
        if self.ordered and x.shape[1] > self.max_length:
            raise ShapeError(
                f"X: expected at most {self.max_length} steps, the longest series of the training; got {x.shape[1]}. "
                "Train on series that long, or cut these."
            )
        lengths = _lengths(x)
        return self.standardizer.transform(x, lengths), lengths

    def build_model(self, outputs: int, sizes: ModelSize) -> TrainableModel:
        """A series transformer, or a set transformer."""
        variables = self._variables
        if self.ordered:
            return SeriesModel(
                SeriesTransformerConfig(
                    variables, self.max_length, outputs, sizes.d_model, sizes.n_layers, sizes.n_heads, sizes.d_ff
                )
            )
        return SetModel(
            SetTransformerConfig(
                variables,
                outputs,
                d_model=sizes.d_model,
                n_layers=sizes.n_layers,
                n_heads=sizes.n_heads,
                layer_norm=True,
            )
        )

    def reorder(self, weights: Array) -> Array:
        """As they are."""
        return weights

    @property
    def token_names(self) -> tuple[str, ...]:
        """Steps or members by number."""
        return tuple(f"{'step' if self.ordered else 'member'} {n}" for n in range(self.max_length))

    @property
    def _variables(self) -> int:
        return len(self.standardizer.mean)


@dataclass(frozen=True)
class ImageEncoder:
    """Images (B, Y, X), cut into tokens."""

    tokenizer: str
    image_size: tuple[int, int]
    mean: float
    std: float

    @classmethod
    def fit(cls, x: Array, cut: str) -> ImageEncoder:
        """Learn where the pixels lie."""
        _whole(x)
        return cls(cut, (x.shape[1], x.shape[2]), float(x.mean()), float(column_std(x.reshape(-1, 1))[0]))

    def transform(self, x: Array) -> Inputs:
        """The pixels, which the network itself shifts and scales."""
        if x.shape[1:] != self.image_size:
            raise ShapeError(f"X: expected images of {self.image_size} pixels, as in training; got {x.shape[1:]}.")
        _whole(x)
        return (x.astype(np.float32),)

    def build_model(self, outputs: int, sizes: ModelSize) -> TrainableModel:
        """A vision transformer."""
        return ImageModel(
            ViTConfig(
                self.tokenizer,
                self.image_size,
                sizes.d_model,
                sizes.n_layers,
                sizes.n_heads,
                sizes.d_ff,
                outputs,
                self.mean,
                self.std,
            )
        )

    def reorder(self, weights: Array) -> Array:
        """As they are: the class token first, then the tokens in reading order."""
        return weights

    @property
    def token_names(self) -> tuple[str, ...]:
        """The class token, then the others by number."""
        count = ViTConfig(self.tokenizer, self.image_size).image_tokenizer.num_tokens
        return ("class", *(f"token {n}" for n in range(count)))


def stack_sequences(items: Sequence[npt.ArrayLike], *, unequal: bool = True) -> Array:
    """Items (N, V) in one array (B, N, V); if they may be of unequal length, filled up with NaN.

    Raises
    ------
    DataError
        If an item does not consist of numbers.
    ShapeError
        If one has not two axes, or another number of variables than the others, or another length where none may.
    """
    try:
        arrays = [np.asarray(item, np.float64) for item in items]
    except (TypeError, ValueError) as error:
        raise DataError(f"X: expected items of numbers, of shape (N, V); {error}.") from None
    if any(array.ndim != 2 for array in arrays):
        raise ShapeError(f"X: expected items of shape (N, V); got {sorted({array.shape for array in arrays})[:3]}.")
    if not unequal and len(sizes := {array.shape for array in arrays}) > 1:
        raise ShapeError(f"X: expected images of one size; got {sorted(sizes)[:3]}.")
    widths = {array.shape[1] for array in arrays}
    if len(widths) > 1:
        raise ShapeError(f"X: expected as many variables in every item; got {sorted(widths)}.")
    result = np.full((len(arrays), max(len(array) for array in arrays), widths.pop()), np.nan)
    for row, array in zip(result, arrays, strict=True):
        row[: len(array)] = array
    return result


def _split(
    x: npt.NDArray[Any], numbers: tuple[int, ...], categories: tuple[int, ...], names: Sequence[str]
) -> tuple[Array, list[npt.NDArray[Any]]]:
    table = np.empty((len(x), len(numbers)))
    for i, j in enumerate(numbers):
        try:
            table[:, i] = (
                [np.nan if is_missing(value) else value for value in x[:, j]] if x.dtype == object else x[:, j]
            )
        except (TypeError, ValueError):
            odd = next(value for value in x[:, j].tolist() if not is_number(value))
            raise DataError(
                f"{names[j]}: expected numbers; got {odd!r}. Name the columns that hold categories in `categories`."
            ) from None
    return table, [x[:, j] for j in categories]


def _lengths(x: Array) -> IntArray:
    """How many rows each item has before nothing but NaN follows."""
    there: BoolArray = np.asarray(~np.isnan(x).all(axis=2))
    lengths: IntArray = x.shape[1] - there[:, ::-1].argmax(axis=1)
    if not there.any(axis=1).all():
        i = int(np.flatnonzero(~there.any(axis=1))[0])
        raise DataError(f"X: item {i} is empty. Leave empty series and sets out: there is nothing to learn from.")
    inside = np.arange(x.shape[1]) < lengths[:, None]
    if not np.isfinite(x[inside]).all():
        i = int(np.flatnonzero((inside & ~np.isfinite(x).all(axis=2)).any(axis=1))[0])
        raise DataError(
            f"X: item {i} holds NaN or infinity; only whole rows of NaN at its end are taken, as padding. Fill missing "
            "values in before."
        )
    return lengths


def _whole(x: Array) -> None:
    if not np.isfinite(x).all():
        i = int(np.flatnonzero(~np.isfinite(x).all(axis=(1, 2)))[0])
        raise DataError(f"X: image {i} holds NaN or infinity. Fill missing pixels in before.")
