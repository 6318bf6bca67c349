"""The series transformer: time steps -> tokens -> post-norm layers with batch norm -> all tokens -> class or value.

Source: Zerveas et al., "A Transformer-based Framework for Multivariate Time Series Representation Learning", arXiv
2010.02803 (2021), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from headwise import nn
from headwise.errors import DataError, ShapeError
from headwise.nn.params import collect
from headwise.shapes import Array, IntArray, bind
from headwise.validation import check_sizes

_POSITIONS = 0.02  # learned positions begin within ± this


@dataclass(frozen=True)
class SeriesTransformerConfig:
    """Configuration of a series transformer.

    Attributes
    ----------
    n_variables, max_length : int
        V, and the length of the longest series that the model accepts.
    n_outputs : int
        Number of classes, or of values to predict.
    d_model, n_layers, n_heads, d_ff : int
        D, L, H, and the hidden width of the MLP.
    dropout : float
        Dropout rate in training.
    """

    n_variables: int
    max_length: int
    n_outputs: int
    d_model: int = 64
    n_layers: int = 3
    n_heads: int = 8
    d_ff: int = 256
    dropout: float = 0.1

    def __post_init__(self) -> None:
        names = ("n_variables", "max_length", "n_outputs", "n_layers", "d_ff")
        check_sizes(self.d_model, self.n_heads, **{name: getattr(self, name) for name in names})
        if not 0 <= self.dropout < 1:
            raise DataError(f"dropout: expected a number from 0 to less than 1; got {self.dropout}.")


class EncoderCache(NamedTuple):
    """Caches in the order of the forward pass, without the head."""

    padding: nn.Padding
    embedding: nn.LinearCache
    dropout: Array | None
    layers: tuple[nn.EncoderLayerCache, ...]
    activation: nn.ActivationCache
    last_dropout: Array | None


class SeriesCache(NamedTuple):
    """Caches of the encoder and the head, and the model's maximum length."""

    encoder: EncoderCache
    head: nn.LinearCache
    max_length: int

    @property
    def batch_stats(self) -> nn.Params:
        """Statistics of the batch, towards which the running averages move, by parameter."""
        stats: nn.Params = {}
        for i, layer in enumerate(self.encoder.layers):
            stats |= nn.with_prefix(f"layers.{i}", layer.batch_stats)
        return stats


class SeriesPrediction(NamedTuple):
    """Outputs and attention weights of some series."""

    outputs: Array  # (B, outputs): class logits, or predicted numbers
    weights: Array  # (B, L, H, N, N): attention weights of every layer and head; zero for padding, as query and as key


def series_params(config: SeriesTransformerConfig, rng: np.random.Generator) -> nn.Params:
    """Random parameters of the encoder and the head, in float32.

    Examples
    --------
    >>> config = SeriesTransformerConfig(n_variables=12, max_length=29, n_outputs=9)
    >>> params = series_params(config, np.random.default_rng(0))
    >>> params["head.weight"].shape, sum(array.size for array in params.values())
    ((9, 1856), 170121)
    """
    return _encoder_params(config, rng) | nn.with_prefix(
        "head", nn.linear_params(config.max_length * config.d_model, config.n_outputs, rng)
    )


def masked_prediction_params(config: SeriesTransformerConfig, rng: np.random.Generator) -> nn.Params:
    """Random parameters of the encoder, and of the layer that predicts the variables of each step."""
    return _encoder_params(config, rng) | nn.with_prefix(
        "values", nn.linear_params(config.d_model, config.n_variables, rng)
    )


def series_forward(
    x: Array,
    lengths: IntArray,
    params: nn.Params,
    config: SeriesTransformerConfig,
    *,
    rng: np.random.Generator | None = None,
    return_weights: bool = False,
) -> tuple[Array, SeriesCache]:
    """Class logits, or predicted numbers, (B, outputs) of series (B, N, V) with `lengths` (B,) valid steps.

    Values in the padding are never read. With a generator, for training, dropout is drawn from it and batch
    normalization uses the statistics of the batch. The cache has the attention weights if they are requested.
    """
    rows, encoder = _encoder_forward(x, lengths, params, config, rng, return_weights)
    flat = nn.Padding(lengths, config.max_length).pad(rows).reshape(len(x), -1)  # the head sees zeros in the padding
    outputs, head = nn.linear_forward(flat, nn.subtree(params, "head"))
    return outputs, SeriesCache(encoder, head, config.max_length)


def series_backward(doutputs: Array, cache: SeriesCache) -> nn.Params:
    """Gradients with respect to every parameter, but the running averages, which have none."""
    dflat, head_grads = nn.linear_backward(doutputs, cache.head)
    drows = nn.Padding(cache.encoder.padding.lengths, cache.max_length).unpad(
        dflat.reshape(len(dflat), cache.max_length, -1)
    )
    return _encoder_backward(drows, cache.encoder, cache.max_length) | nn.with_prefix("head", head_grads)


def masked_prediction_forward(
    x: Array,
    lengths: IntArray,
    params: nn.Params,
    config: SeriesTransformerConfig,
    *,
    rng: np.random.Generator | None = None,
) -> tuple[Array, SeriesCache]:
    """The variables (R, V) of every valid step, predicted from series some of whose values were masked.

    The other parameters are those of `series_forward`, with weights as made by `masked_prediction_params`.
    """
    rows, encoder = _encoder_forward(x, lengths, params, config, rng, False)
    predicted, head = nn.linear_forward(rows, nn.subtree(params, "values"))
    return predicted, SeriesCache(encoder, head, config.max_length)


def masked_prediction_backward(dpredicted: Array, cache: SeriesCache) -> nn.Params:
    """Gradients with respect to every parameter, but the running averages, for dpredicted (R, V)."""
    drows, values_grads = nn.linear_backward(dpredicted, cache.head)
    return _encoder_backward(drows, cache.encoder, cache.max_length) | nn.with_prefix("values", values_grads)


def predict_series_with_attention(
    x: Array, lengths: IntArray, params: nn.Params, config: SeriesTransformerConfig
) -> SeriesPrediction:
    """Outputs and attention weights of a batch of series (B, N, V)."""
    outputs, cache = series_forward(x, lengths, params, config, return_weights=True)
    weights = nn.stack_attention_weights(layer.attention for layer in cache.encoder.layers)
    valid = np.arange(x.shape[1]) < lengths[:, None]
    return SeriesPrediction(outputs, weights * valid[:, None, None, :, None])


def _encoder_params(config: SeriesTransformerConfig, rng: np.random.Generator) -> nn.Params:
    params = nn.with_prefix("embedding", nn.linear_params(config.n_variables, config.d_model, rng))
    params["positions"] = rng.uniform(-_POSITIONS, _POSITIONS, (config.max_length, config.d_model)).astype(np.float32)
    for i in range(config.n_layers):
        params |= nn.with_prefix(f"layers.{i}", nn.encoder_layer_params(config.d_model, config.d_ff, rng))
    return params


def _encoder_forward(
    x: Array,
    lengths: IntArray,
    params: nn.Params,
    config: SeriesTransformerConfig,
    rng: np.random.Generator | None,
    return_weights: bool,
) -> tuple[Array, EncoderCache]:
    """A token (R, D) for every valid step."""
    _check(x, lengths, config)
    padding = nn.Padding(lengths, x.shape[1])
    embedded, embedding = nn.linear_forward(padding.unpad(x), nn.subtree(params, "embedding"))
    embedded *= embedded.dtype.type(np.sqrt(config.d_model))
    rows, dropout = nn.dropout_forward(embedded + params["positions"][padding.positions], config.dropout, rng)
    layers = []
    for i in range(config.n_layers):
        rows, cache = nn.encoder_layer_forward(
            rows,
            nn.subtree(params, f"layers.{i}"),
            padding,
            heads=config.n_heads,
            dropout=config.dropout,
            rng=rng,
            return_weights=return_weights,
        )
        layers.append(cache)
    active, activation = nn.activation_forward(rows, "gelu_tanh")
    outputs, last_dropout = nn.dropout_forward(active, config.dropout, rng)
    return outputs, EncoderCache(padding, embedding, dropout, tuple(layers), activation, last_dropout)


def _encoder_backward(drows: Array, cache: EncoderCache, steps: int) -> nn.Params:
    drows = nn.activation_backward(nn.dropout_backward(drows, cache.last_dropout), cache.activation)
    grads: nn.Params = {}
    for i in reversed(range(len(cache.layers))):
        drows = collect(grads, f"layers.{i}", nn.encoder_layer_backward(drows, cache.layers[i]))
    drows = nn.dropout_backward(drows, cache.dropout)
    width = drows.shape[1]
    positions = np.zeros((steps, width), drows.dtype)
    positions[: cache.padding.steps] = cache.padding.pad(drows).sum(axis=0)
    _, embedding_grads = nn.linear_backward(drows * drows.dtype.type(np.sqrt(width)), cache.embedding)  # √D (W x + b)
    return grads | {"positions": positions} | nn.with_prefix("embedding", embedding_grads)


def _check(x: Array, lengths: IntArray, config: SeriesTransformerConfig) -> None:
    n = bind(f"B N {config.n_variables}", x=x).bind("B", lengths=lengths)["N"]
    if n > config.max_length:
        raise ShapeError(
            f"x: expected at most {config.max_length} steps, the longest this model was made for; got {n}. "
            "Cut the series, or train a model for longer ones."
        )
    if lengths.size and not 1 <= lengths.min() <= lengths.max() <= n:
        raise DataError(f"lengths: expected 1 to N={n} steps; got {lengths.min()} to {lengths.max()}.")
