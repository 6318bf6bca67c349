"""What a series transformer learns: to fill in values that were hidden, then classes or numbers.

A batch is one shard: batch normalisation takes its statistics over all of it.

Source: Zerveas et al., arXiv 2010.02803 (2021), sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from headwise.data.series import LabelledSeries
from headwise.hashing import fingerprint
from headwise.models.series import (
    SeriesTransformerConfig,
    masked_prediction_backward,
    masked_prediction_forward,
    masked_prediction_params,
    series_backward,
    series_forward,
    series_params,
)
from headwise.nn.losses import cross_entropy_backward, cross_entropy_forward
from headwise.nn.padding import Padding
from headwise.nn.params import Params
from headwise.parallel.threads import single_threaded_blas
from headwise.shapes import Array, IntArray
from headwise.train.config import TrainingConfig
from headwise.train.loop import ShardGradients, ValidationResult
from headwise.train.masking import geometric_masks

__all__ = ["MaskedPredictionTask", "SeriesEvaluation", "SeriesTask", "evaluate_series", "predict_series"]

_TOGETHER = 128  # series of one forward pass when judging


class Batch(NamedTuple):
    """Series of one step, cut to the longest of them, and the generator of all that is random in it."""

    series: LabelledSeries
    rng: np.random.Generator


class SeriesEvaluation(NamedTuple):
    """A model on labelled series.

    Attributes
    ----------
    loss : float
        Mean cross-entropy in nats, or mean squared error.
    right : int
        Series whose class it got right; 0 where numbers are predicted.
    outputs : ndarray of shape (B, outputs)
    """

    loss: float
    n_correct: int
    outputs: Array


@dataclass(frozen=True)
class SeriesTask:
    """Classes, or numbers, of series; from fresh weights or from pre-trained ones, all of which are tuned.

    Attributes
    ----------
    model : Series
    train : LabelledSeries
        Integer labels are classes under cross-entropy, floating-point ones numbers under squared error.
    recipe : Recipe
    validation : LabelledSeries, optional
    start : dict, optional
        Weights of the encoder to begin with; the head is fresh.
    """

    config: SeriesTransformerConfig
    train: LabelledSeries
    recipe: TrainingConfig
    validation: LabelledSeries | None = None
    initial_params: Params | None = field(default=None, repr=False)

    @property
    def n_examples(self) -> int:
        """Training series."""
        return len(self.train.labels)

    def init(self, rng: np.random.Generator) -> Params:
        """Random weights, or a random head on the encoder that is given."""
        params = series_params(self.config, rng)
        return params | {name: array.copy() for name, array in (self.initial_params or {}).items() if name in params}

    def shards(self, chosen: IntArray, step: int) -> Sequence[Batch]:
        """The batch, whole."""
        return [Batch(_cut(self.train.take(chosen)), np.random.default_rng([self.recipe.seed, 4, step]))]

    def gradients(self, shard: Batch, params: Params) -> ShardGradients:
        """Those of cross-entropy or of the mean squared error."""
        x, lengths, labels = shard.series
        outputs, cache = series_forward(x, lengths, params, self.config, rng=shard.rng)
        loss, doutputs = _loss(outputs, labels)
        return ShardGradients(loss, series_backward(doutputs, cache), cache.batch_stats)

    def validate(self, params: Params) -> ValidationResult | None:
        """On the series held out, if there are any."""
        if self.validation is None:
            return None
        judged = evaluate_series(self.validation, params, self.config)
        classes = self.validation.labels.dtype.kind in "iu"
        return ValidationResult(judged.loss, judged.n_correct / len(judged.outputs) if classes else None)

    def describe(self) -> dict[str, Any]:
        """The model, and fingerprints of the data and of the weights it begins with."""
        started = (
            None
            if self.initial_params is None
            else fingerprint(*(self.initial_params[name] for name in sorted(self.initial_params)))
        )
        return {"model": asdict(self.config), "data": fingerprint(*self.train), "start": started}


@dataclass(frozen=True)
class MaskedPredictionTask:
    """Pre-training: values are hidden in geometric runs, variable by variable, and predicted from the rest.

    Attributes
    ----------
    model : Series
    train : LabelledSeries
        Standardised, since what is hidden reads zero, the mean; the labels are not looked at.
    recipe : Recipe
    ratio, run : float
        The share of values that is hidden, and how many steps a run of them lasts on average.
    """

    config: SeriesTransformerConfig
    train: LabelledSeries
    recipe: TrainingConfig
    ratio: float = 0.15
    mean_length: float = 3.0

    @property
    def n_examples(self) -> int:
        """Training series."""
        return len(self.train.lengths)

    def init(self, rng: np.random.Generator) -> Params:
        """Random weights."""
        return masked_prediction_params(self.config, rng)

    def shards(self, chosen: IntArray, step: int) -> Sequence[Batch]:
        """The batch, whole."""
        return [Batch(_cut(self.train.take(chosen)), np.random.default_rng([self.recipe.seed, 5, step]))]

    def gradients(self, shard: Batch, params: Params) -> ShardGradients:
        """Those of the mean squared error over the hidden values alone."""
        (x, lengths, _), rng = shard
        hidden = geometric_masks(x.shape, rng=rng, ratio=self.ratio, mean_length=self.mean_length)
        predicted, cache = masked_prediction_forward(np.where(hidden, 0, x), lengths, params, self.config, rng=rng)
        padding = Padding(lengths, x.shape[1])
        error = np.where(padding.unpad(hidden), predicted - padding.unpad(x), 0).astype(predicted.dtype)
        count = max(1, int(padding.unpad(hidden).sum()))
        dpredicted = error * error.dtype.type(2 / count)
        return ShardGradients(
            float((error * error).sum() / count), masked_prediction_backward(dpredicted, cache), cache.batch_stats
        )

    def validate(self, params: Params) -> ValidationResult | None:
        """Nothing is held out."""
        return None

    def describe(self) -> dict[str, Any]:
        """The model, the masks and a fingerprint of the data."""
        masks = {"ratio": self.ratio, "run": self.mean_length}
        return {"model": asdict(self.config), "data": fingerprint(*self.train[:2]), "masks": masks}


def predict_series(x: Array, lengths: IntArray, params: Params, config: SeriesTransformerConfig) -> Array:
    """Logits of the classes, or predicted numbers (B, outputs), of any number of series (B, N, V)."""
    with single_threaded_blas():
        parts = [slice(start, start + _TOGETHER) for start in range(0, len(x), _TOGETHER)]
        return np.concatenate([series_forward(x[part], lengths[part], params, config)[0] for part in parts])


def evaluate_series(data: LabelledSeries, params: Params, config: SeriesTransformerConfig) -> SeriesEvaluation:
    """How well a model does on labelled series."""
    outputs = predict_series(data.x, data.lengths, params, config)
    right = int((outputs.argmax(axis=1) == data.labels).sum()) if data.labels.dtype.kind in "iu" else 0
    return SeriesEvaluation(_loss(outputs, data.labels)[0], right, outputs)


def _loss(outputs: Array, labels: Array | IntArray) -> tuple[float, Array]:
    """The loss, and its gradient with respect to the outputs."""
    if labels.dtype.kind in "iu":
        loss, cache = cross_entropy_forward(outputs, labels.astype(np.int64))
        return loss, cross_entropy_backward(cache)
    error = outputs - labels.reshape(outputs.shape).astype(outputs.dtype)
    return float((error * error).mean()), error * error.dtype.type(2 / error.size)


def _cut(series: LabelledSeries) -> LabelledSeries:
    """Without the steps that are padding in all of them."""
    return series._replace(x=series.x[:, : series.lengths.max()])
