"""Training of series transformers: pretraining by masked prediction, then classification or regression.

Source: Zerveas et al., arXiv 2010.02803 (2021), sections 3.2 and 3.3. Masked and visible runs of a variable alternate,
and both have geometric lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from headwise.data.series import LabelledSeries
from headwise.errors import DataError
from headwise.hashing import fingerprint
from headwise.models import SeriesTransformerConfig
from headwise.models.series import masked_prediction_backward, masked_prediction_forward, masked_prediction_params
from headwise.models.trainable import SeriesModel
from headwise.nn import Padding, Params
from headwise.shapes import Array, BoolArray, IntArray
from headwise.train.config import TrainingConfig
from headwise.train.loop import ShardGradients, ValidationResult
from headwise.train.supervised import Examples, Supervised, predict_batched, supervised_loss

_RATIO, _MEAN_LENGTH = 0.15, 3.0  # of masked values in pretraining, and of a run of them in steps


class Batch(NamedTuple):
    """The series of one step, without steps that are padding in all of them, and a random generator."""

    series: LabelledSeries
    rng: np.random.Generator


class SeriesEvaluation(NamedTuple):
    """A model on labelled series.

    Attributes
    ----------
    loss : float
        Mean cross-entropy in nats, or mean squared error.
    n_correct : int
        Series whose class was predicted correctly; 0 where numbers are predicted.
    outputs : ndarray of shape (B, outputs)
    """

    loss: float
    n_correct: int
    outputs: Array


def series_task(
    config: SeriesTransformerConfig,
    train: LabelledSeries,
    recipe: TrainingConfig,
    *,
    validation: LabelledSeries | None = None,
    initial_params: Params | None = None,
) -> Supervised:
    """Classification or regression of series.

    Parameters
    ----------
    config : SeriesTransformerConfig
    train : LabelledSeries
        Integer labels are classes under cross-entropy, floating-point ones numbers under the mean squared error.
    recipe : TrainingConfig
    validation : LabelledSeries, optional
    initial_params : dict, optional
        Parameters of a pretrained encoder; the head is random, and all parameters are trained.
    """
    held_out = None if validation is None else _examples(validation)
    return Supervised(SeriesModel(config), _examples(train), held_out, recipe.seed, initial_params=initial_params)


@dataclass(frozen=True)
class MaskedPredictionTask:
    """Pretraining: runs of values are masked, variable by variable, and predicted from the others.

    Attributes
    ----------
    config : SeriesTransformerConfig
    train : LabelledSeries
        Standardized, since masked values are set to zero, the mean; the labels are not used.
    recipe : TrainingConfig
    """

    config: SeriesTransformerConfig
    train: LabelledSeries
    recipe: TrainingConfig

    @property
    def n_examples(self) -> int:
        """Number of training series."""
        return len(self.train.lengths)

    def init(self, rng: np.random.Generator) -> Params:
        """Random parameters."""
        return masked_prediction_params(self.config, rng)

    def shards(self, indices: IntArray, step: int) -> Sequence[Batch]:
        """The batch as one shard, since it is normalized together."""
        series = self.train.take(indices)
        series = series._replace(x=series.x[:, : series.lengths.max()])
        return [Batch(series, np.random.default_rng([self.recipe.seed, 5, step]))]

    def gradients(self, shard: Batch, params: Params) -> ShardGradients:
        """Of the mean squared error over the masked values."""
        (x, lengths, _), rng = shard
        masked = geometric_masks(x.shape, rng=rng)
        predicted, cache = masked_prediction_forward(np.where(masked, 0, x), lengths, params, self.config, rng=rng)
        padding = Padding(lengths, x.shape[1])
        error = np.where(padding.unpad(masked), predicted - padding.unpad(x), 0).astype(predicted.dtype)
        count = max(1, int(padding.unpad(masked).sum()))
        dpredicted = error * error.dtype.type(2 / count)
        return ShardGradients(
            float((error * error).sum() / count), masked_prediction_backward(dpredicted, cache), cache.batch_stats
        )

    def validate(self, params: Params) -> ValidationResult | None:
        """None: there is no validation set."""
        return None

    def describe(self) -> dict[str, Any]:
        """The model, the masks and a digest of the data."""
        masks = {"ratio": _RATIO, "run": _MEAN_LENGTH}
        return {"model": asdict(self.config), "data": fingerprint(*self.train[:2]), "masks": masks}


def predict_series(x: Array, lengths: IntArray, params: Params, config: SeriesTransformerConfig) -> Array:
    """Class logits, or predicted numbers (B, n_outputs), of any number of series (B, N, V)."""
    return predict_batched(SeriesModel(config), (x, lengths), params)


def evaluate_series(data: LabelledSeries, params: Params, config: SeriesTransformerConfig) -> SeriesEvaluation:
    """Evaluate a model on labelled series."""
    outputs = predict_series(data.x, data.lengths, params, config)
    targets = _examples(data).targets
    n_correct = int((outputs.argmax(axis=1) == targets).sum()) if targets.ndim == 1 else 0
    return SeriesEvaluation(supervised_loss(outputs, targets)[0], n_correct, outputs)


def _examples(series: LabelledSeries) -> Examples:
    labels = series.labels
    is_classification = labels.dtype.kind in "iu"
    return Examples((series.x, series.lengths), labels.astype(np.int64) if is_classification else labels[:, None])


def geometric_masks(
    shape: tuple[int, int, int], *, rng: np.random.Generator, ratio: float = _RATIO, mean_length: float = _MEAN_LENGTH
) -> BoolArray:
    r"""Which values to mask, and to predict: a two-state Markov chain along the steps of every variable.

    .. math:: P(\text{a masked run ends}) = \frac{1}{l_m} \qquad
              P(\text{a visible run ends}) = \frac{1}{l_m} \frac{r}{1-r}

    Parameters
    ----------
    shape : (int, int, int)
        Series, steps and variables (B, N, V).
    rng : Generator
    ratio : float
        r, the mean fraction of masked values.
    mean_length : float
        l_m, the mean number of steps in a masked run.

    Returns
    -------
    ndarray of bool of shape (B, N, V)
        True where a value is masked.

    Raises
    ------
    DataError
        If there is no such chain.

    Examples
    --------
    >>> import numpy as np
    >>> masked = geometric_masks((1, 40, 2), rng=np.random.default_rng(0))
    >>> for variable in masked[0].T:
    ...     print("".join("#" if value else "." for value in variable))
    .########.######........................
    .####.#...................#..#..........
    """
    if not 0 < ratio < 1 or mean_length < 1 or ratio > mean_length * (1 - ratio):
        raise DataError(
            "ratio, mean_length: expected a fraction between 0 and 1, and a length from 1 and ratio / (1 − ratio); "
            f"got {ratio} and {mean_length}."
        )
    batch, steps, variables = shape
    ends, begins = 1 / mean_length, ratio / (mean_length * (1 - ratio))
    masked = np.empty(shape, np.bool_)
    state = rng.random((batch, variables)) < ratio  # the stationary distribution, so that every step is alike
    for n in range(steps):
        masked[:, n] = state
        state = state ^ (rng.random((batch, variables)) < np.where(state, ends, begins))
    return masked
