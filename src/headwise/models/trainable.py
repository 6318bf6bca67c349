"""The models of tables, sets, images and series under one interface for training.

A model maps a tuple of arrays, whose first axis is the item, to outputs (B, E).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from headwise.models.series import (
    SeriesTransformerConfig,
    predict_series_with_attention,
    series_backward,
    series_forward,
    series_params,
)
from headwise.models.sets import SetTransformerConfig, set_backward, set_forward, set_params, set_weights
from headwise.models.tabular import TableTransformerConfig, table_backward, table_forward, table_params
from headwise.models.vit import ViTConfig, predict_with_attention, vit_backward, vit_forward, vit_params
from headwise.nn.params import Params
from headwise.shapes import Array

Inputs = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class TrainableModel(ABC):
    """A model's configuration, with what training needs of the model."""

    model: Any
    kind: ClassVar[str]
    uses_batch_norm: ClassVar[bool] = False  # items of a batch are normalized together: a batch must be one shard

    _params: ClassVar[Callable[[Any, np.random.Generator], Params]]
    _backward: ClassVar[Callable[[Array, Any], Params]]

    def num_tokens(self, inputs: Inputs) -> int:
        """Number of tokens of each item, padding included, for dividing batches into shards."""
        return int(inputs[0].shape[1])

    def init(self, rng: np.random.Generator) -> Params:
        """Random parameters."""
        return type(self)._params(self.model, rng)

    @abstractmethod
    def forward(self, inputs: Inputs, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """Outputs (B, E), and the cache; with a generator in training."""

    def backward(self, dy: Array, cache: Any) -> tuple[Params, Params]:
        """Gradients, and the statistics of the batch for running averages."""
        return type(self)._backward(dy, cache), {}

    @abstractmethod
    def attention_weights(self, inputs: Inputs, params: Params) -> Array:
        """Attention weights (B, L, H, N, N)."""

    def config(self) -> Mapping[str, Any]:
        """The configuration as a JSON-serializable mapping."""
        return {self.kind: asdict(self.model)}


class TableModel(TrainableModel):
    """A model of table rows: numbers (B, J) and codes (B, K)."""

    model: TableTransformerConfig
    kind = "table"
    _params, _backward = table_params, table_backward

    def num_tokens(self, inputs: Inputs) -> int:
        """With the class token."""
        return 1 + self.model.n_columns

    def forward(self, inputs: Inputs, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """As `table_forward`."""
        return table_forward(inputs[0], inputs[1], params, self.model)

    def attention_weights(self, inputs: Inputs, params: Params) -> Array:
        """Token 0 is the class token, then the numbers, then the categories."""
        _, cache = table_forward(inputs[0], inputs[1], params, self.model, return_weights=True)
        return cache.encoder.attention_weights


class SetModel(TrainableModel):
    """A model of sets: members (B, N, V) and lengths (B,)."""

    model: SetTransformerConfig
    kind = "sets"
    _params, _backward = set_params, set_backward

    def forward(self, inputs: Inputs, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """As `set_forward`."""
        return set_forward(inputs[0], params, self.model, lengths=inputs[1])

    def attention_weights(self, inputs: Inputs, params: Params) -> Array:
        """Among the members; zero for padding, as query and as key."""
        members, lengths = inputs
        weights, _ = set_weights(set_forward(members, params, self.model, lengths=lengths, return_weights=True)[1])
        valid = np.arange(members.shape[1]) < lengths[:, None]
        return weights * valid[:, None, None, :, None]


class ImageModel(TrainableModel):
    """A model of images (B, Y, X)."""

    model: ViTConfig
    kind = "images"
    _params, _backward = vit_params, vit_backward

    def num_tokens(self, inputs: Inputs) -> int:
        """With the class token."""
        return 1 + self.model.image_tokenizer.num_tokens

    def forward(self, inputs: Inputs, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """As `vit_forward`."""
        return vit_forward(inputs[0], params, self.model)

    def attention_weights(self, inputs: Inputs, params: Params) -> Array:
        """Token 0 is the class token, then the patches in reading order."""
        return predict_with_attention(inputs[0], params, self.model).weights


class SeriesModel(TrainableModel):
    """A model of series: steps (B, N, V) and lengths (B,)."""

    model: SeriesTransformerConfig
    kind = "series"
    _params, _backward = series_params, series_backward
    uses_batch_norm = True

    def forward(self, inputs: Inputs, params: Params, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """As `series_forward`, without steps that are padding in all series."""
        x, lengths = inputs
        return series_forward(x[:, : lengths.max()], lengths, params, self.model, rng=rng)

    def backward(self, dy: Array, cache: Any) -> tuple[Params, Params]:
        """As `series_backward`."""
        return series_backward(dy, cache), cache.batch_stats

    def attention_weights(self, inputs: Inputs, params: Params) -> Array:
        """Among the steps; zero for padding, as query and as key."""
        return predict_series_with_attention(inputs[0], inputs[1], params, self.model).weights
