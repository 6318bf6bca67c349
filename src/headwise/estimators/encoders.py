"""Encoders from the data of an estimator to the inputs of its model, one for each kind of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headwise.errors import DataError, ShapeError
from headwise.models import SeriesTransformerConfig, SetTransformerConfig, TableTransformerConfig, ViTConfig
from headwise.models.trainable import ImageModel, Inputs, SeriesModel, SetModel, TableModel, TrainableModel
from headwise.shapes import Array, BoolArray, IntArray
from headwise.tokenizers import ColumnEncoder, Standardizer, column_std, is_missing
from headwise.validation import check_counts, is_number


@dataclass(frozen=True)
class ModelSize:
    """The size of a model, for any kind of data."""

    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int

    def __post_init__(self) -> None:
        check_counts(d_model=self.d_model, n_layers=self.n_layers, n_heads=self.n_heads, d_ff=self.d_ff)


class DataEncoder(ABC):
    """Encodes one kind of data, and builds the model for it."""

    @abstractmethod
    def transform(self, x: npt.NDArray[Any]) -> Inputs:
        """The inputs of the model."""

    @abstractmethod
    def build_model(self, outputs: int, sizes: ModelSize) -> TrainableModel:
        """The model for the data that the encoder was fitted on."""

    def reorder(self, weights: Array) -> Array:
        """Attention weights with the tokens in the order of the data; by default that of the model."""
        return weights

    @property
    @abstractmethod
    def token_names(self) -> tuple[str, ...]:
        """The names of the tokens."""


@dataclass(frozen=True)
class TableEncoder(DataEncoder):
    """Rows of a table, of which some columns may be categorical."""

    columns: ColumnEncoder
    numeric: tuple[int, ...]
    categorical: tuple[int, ...]

    @classmethod
    def fit(cls, x: npt.NDArray[Any], categories: Sequence[int], names: Sequence[str]) -> TableEncoder:
        """Fit on rows whose columns have these names."""
        numbers = tuple(j for j in range(x.shape[1]) if j not in set(categories))
        order = (*numbers, *categories)
        split = _split(x, numbers, tuple(categories), names)
        return cls(ColumnEncoder.fit(*split, [names[j] for j in order]), numbers, tuple(categories))

    def transform(self, x: npt.NDArray[Any]) -> Inputs:
        """Standardized numbers, and categories as integers."""
        return self.columns.transform(*_split(x, self.numeric, self.categorical, self.token_names[1:]))

    def build_model(self, outputs: int, sizes: ModelSize) -> TrainableModel:
        """A table transformer."""
        levels = tuple(len(levels) for levels in self.columns.categories)
        return TableModel(TableTransformerConfig(len(self.numeric), levels, outputs, **vars(sizes)))

    def reorder(self, weights: Array) -> Array:
        """The class token first, then the columns in the order of the data."""
        order = np.array([0, *(1 + self._order)])
        return weights[..., order[:, None], order]

    @property
    def token_names(self) -> tuple[str, ...]:
        """The class token, then the columns in the order of the data."""
        return ("class", *(self.columns.names[j] for j in self._order))

    @property
    def _order(self) -> IntArray:
        """Index of each column of the data in the order of the model: numeric, then categorical."""
        return np.argsort((*self.numeric, *self.categorical))


@dataclass(frozen=True)
class SequenceEncoder(DataEncoder):
    """Series or sets (B, N, V); rows of NaN at the end of an item are padding."""

    ordered: bool
    max_length: int
    standardizer: Standardizer

    @classmethod
    def fit(cls, x: Array, *, ordered: bool) -> SequenceEncoder:
        """Fit the standardization of each variable."""
        return cls(ordered, x.shape[1], Standardizer.fit(x, _lengths(x)))

    def transform(self, x: Array) -> Inputs:
        """Standardized members or steps, zero in the padding, and lengths."""
        if x.shape[2] != self._variables:
            raise ShapeError(f"X: expected {self._variables} variables, as in training; got {x.shape[2]}.")
        if self.ordered and x.shape[1] > self.max_length:
            raise ShapeError(
                f"X: expected at most {self.max_length} steps, the longest training series; got {x.shape[1]}. "
                "Train on longer series, or truncate these."
            )
        lengths = _lengths(x)
        return self.standardizer.transform(x, lengths), lengths

    def build_model(self, outputs: int, sizes: ModelSize) -> TrainableModel:
        """A series or set transformer."""
        variables = self._variables
        if self.ordered:
            return SeriesModel(SeriesTransformerConfig(variables, self.max_length, outputs, **vars(sizes)))
        d_model, n_layers, n_heads = sizes.d_model, sizes.n_layers, sizes.n_heads
        config = SetTransformerConfig(
            variables, outputs, d_model=d_model, n_layers=n_layers, n_heads=n_heads, layer_norm=True
        )
        return SetModel(config)

    @property
    def token_names(self) -> tuple[str, ...]:
        """Steps or members by number."""
        return tuple(f"{'step' if self.ordered else 'member'} {n}" for n in range(self.max_length))

    @property
    def _variables(self) -> int:
        return len(self.standardizer.mean)


@dataclass(frozen=True)
class ImageEncoder(DataEncoder):
    """Images (B, Y, X)."""

    tokenizer: str
    image_size: tuple[int, int]
    mean: float
    std: float

    @classmethod
    def fit(cls, x: Array, cut: str) -> ImageEncoder:
        """Fit mean and standard deviation of the pixels."""
        _check_finite(x)
        return cls(cut, (x.shape[1], x.shape[2]), float(x.mean()), float(column_std(x.reshape(-1, 1))[0]))

    def transform(self, x: Array) -> Inputs:
        """The pixels; the model standardizes them."""
        if x.shape[1:] != self.image_size:
            raise ShapeError(f"X: expected images of {self.image_size} pixels, as in training; got {x.shape[1:]}.")
        _check_finite(x)
        return (x.astype(np.float32),)

    def build_model(self, outputs: int, sizes: ModelSize) -> TrainableModel:
        """A vision transformer."""
        return ImageModel(
            ViTConfig(self.tokenizer, self.image_size, n_classes=outputs, mean=self.mean, std=self.std, **vars(sizes))
        )

    @property
    def token_names(self) -> tuple[str, ...]:
        """The class token, then the patches by number."""
        count = ViTConfig(self.tokenizer, self.image_size).image_tokenizer.num_tokens
        return ("class", *(f"token {n}" for n in range(count)))


def stack_sequences(items: Sequence[npt.ArrayLike], *, unequal: bool = True) -> Array:
    """Stack items (N, V) into one array (B, N, V), padded with NaN if they may differ in length."""
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
            is_object = x.dtype == object
            table[:, i] = [np.nan if is_missing(value) else value for value in x[:, j]] if is_object else x[:, j]
        except (TypeError, ValueError):
            invalid = next(value for value in x[:, j].tolist() if not is_number(value))
            raise DataError(
                f"{names[j]}: expected numbers; got {invalid!r}. List categorical columns in `categories`."
            ) from None
    return table, [x[:, j] for j in categories]


def _lengths(x: Array) -> IntArray:
    """Number of rows of each item before the padding."""
    is_row: BoolArray = np.asarray(~np.isnan(x).all(axis=2))
    lengths: IntArray = x.shape[1] - is_row[:, ::-1].argmax(axis=1)
    if not is_row.any(axis=1).all():
        i = int(np.flatnonzero(~is_row.any(axis=1))[0])
        raise DataError(f"X: item {i} is empty. Remove empty series and sets.")
    inside = np.arange(x.shape[1]) < lengths[:, None]
    if not np.isfinite(x[inside]).all():
        i = int(np.flatnonzero((inside & ~np.isfinite(x).all(axis=2)).any(axis=1))[0])
        raise DataError(
            f"X: item {i} contains NaN or infinity; only full rows of NaN at the end are padding. Impute missing "
            "values first."
        )
    return lengths


def _check_finite(x: Array) -> None:
    if not np.isfinite(x).all():
        i = int(np.flatnonzero(~np.isfinite(x).all(axis=(1, 2)))[0])
        raise DataError(f"X: image {i} contains NaN or infinity. Impute missing pixels first.")
