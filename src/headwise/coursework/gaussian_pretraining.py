"""Masked pre-training of a series transformer on Gaussian series, compared with the optimal prediction.

The covariance of the series is known, so the smallest possible error is known too: that of the conditional mean, which
the rows of the precision matrix give. The transformer is given neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headwise.data.series import LabelledSeries
from headwise.models.series import SeriesTransformerConfig, masked_prediction_forward
from headwise.parallel.threads import num_threads
from headwise.shapes import Array, BoolArray
from headwise.train import MaskedPredictionTask, TrainingConfig, geometric_masks, train

STEPS, VARIABLES = 8, 2
TRAINED_ON, TESTED_ON = 4096, 1000
_IN_TIME, _BETWEEN = 0.8, 0.6  # correlations from step to step, and between the two variables of a step


@dataclass(frozen=True)
class GaussianPretraining:
    """Mean squared errors on the masked values of new series; every variance is one."""

    model_mse: float  # of the transformer
    optimal_mse: float  # of the conditional mean, the smallest possible on average
    mean_mse: float  # of the mean, zero
    masked_fraction: float
    correlation: float  # of the transformer's predictions with the conditional means
    recipe: dict[str, Any]  # the training configuration

    @property
    def explained(self) -> float:
        """The share of the possible reduction of the error that the transformer achieves."""
        return (self.mean_mse - self.model_mse) / (self.mean_mse - self.optimal_mse)


def gaussian_pretraining(recipe: TrainingConfig, on_step: Callable[[], None] = lambda: None) -> GaussianPretraining:
    """Draw series, pre-train, and test on new ones."""
    rng = np.random.default_rng([recipe.seed, 6])
    root = np.linalg.cholesky(covariance())
    series = (rng.standard_normal((TRAINED_ON + TESTED_ON, len(root))) @ root.T).reshape(-1, STEPS, VARIABLES)
    x, fresh = np.split(series.astype(np.float32), [TRAINED_ON])
    config = SeriesTransformerConfig(VARIABLES, STEPS, 1, d_model=32, n_layers=2, n_heads=4, d_ff=64, dropout=0.0)
    task = MaskedPredictionTask(config, LabelledSeries(x, np.full(len(x), STEPS), np.zeros(len(x))), recipe)
    params = train(task, recipe, threads=num_threads(), on_step=on_step).params
    masked = geometric_masks(fresh.shape, rng=rng)
    lengths = np.full(len(fresh), STEPS)
    predicted, _ = masked_prediction_forward(np.where(masked, 0, fresh), lengths, params, config)
    optimal = np.stack([conditional_mean(*pair) for pair in zip(fresh, masked, strict=True)])
    model, best, true = (x.reshape(fresh.shape)[masked].astype(np.float64) for x in (predicted, optimal, fresh))
    of_model, of_best, of_mean = (float(((prediction - true) ** 2).mean()) for prediction in (model, best, 0.0))
    correlation = float(np.corrcoef(model, best)[0, 1])
    return GaussianPretraining(of_model, of_best, of_mean, float(masked.mean()), correlation, asdict(recipe))


def covariance() -> Array:
    """(STEPS · VARIABLES, STEPS · VARIABLES): of all values of a series, step by step, with unit variances."""
    lag = np.abs(np.subtract.outer(np.arange(STEPS), np.arange(STEPS)))
    return np.kron(_IN_TIME**lag, np.array([[1, _BETWEEN], [_BETWEEN, 1]]))


def conditional_mean(series: Array, masked: BoolArray) -> Array:
    r"""Replace the masked values of one series (STEPS, VARIABLES) by their mean given the others.

    .. math:: E[x_h \mid x_o] = -\Lambda_{hh}^{-1} \Lambda_{ho}\, x_o

    with the precision matrix Λ.
    """
    precision, h = np.linalg.inv(covariance()), masked.ravel()
    filled = series.astype(np.float64).ravel()
    filled[h] = -np.linalg.solve(precision[np.ix_(h, h)], precision[np.ix_(h, ~h)] @ filled[~h])
    return filled.reshape(series.shape)
