"""From the regression to the network: hidden values of a Gaussian series, filled in by a series transformer.

The series is Gaussian with a known covariance, so the least possible error is known too: that of the conditional mean,
which the rows of the precision matrix give. Masked pre-training is told neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headwise.data.series import LabelledSeries
from headwise.models.series import SeriesTransformerConfig, masked_prediction_forward
from headwise.shapes import Array, BoolArray
from headwise.train.config import TrainingConfig
from headwise.train.loop import train
from headwise.train.masking import geometric_masks
from headwise.train.series import MaskedPredictionTask

__all__ = ["STEPS", "GaussianPretraining", "conditional_mean", "covariance", "gaussian_pretraining"]

STEPS, VARIABLES = 8, 2
TRAINED_ON, JUDGED_BY = 4096, 1000
_IN_TIME, _BETWEEN = 0.8, 0.6  # correlations from step to step, and between the two variables of a step


@dataclass(frozen=True)
class GaussianPretraining:
    """Mean squared errors on the hidden values of series that nothing was trained on; every variance is one.

    Attributes
    ----------
    network : float
        Of the transformer, trained to fill in hidden values.
    least : float
        Of the conditional mean, which nothing can be better than on average.
    nothing : float
        Of the mean, zero.
    share : float
        How many values were hidden.
    correlation : float
        Of the network's answers with the conditional means.
    recipe : dict
        How the network was trained.
    """

    network: float
    least: float
    nothing: float
    share: float
    correlation: float
    recipe: dict[str, Any]

    @property
    def explained(self) -> float:
        """How much of what can be known about the hidden values the network has learned."""
        return (self.nothing - self.network) / (self.nothing - self.least)


def gaussian_pretraining(recipe: TrainingConfig, on_step: Callable[[], None] = lambda: None) -> GaussianPretraining:
    """Draw series, pre-train, and judge by fresh ones.

    Parameters
    ----------
    recipe : Recipe
    on_step : callable
        Called after each step of the training.

    Returns
    -------
    Bridge
    """
    rng = np.random.default_rng([recipe.seed, 6])
    root = np.linalg.cholesky(covariance())
    drawn = (rng.standard_normal((TRAINED_ON + JUDGED_BY, len(root))) @ root.T).reshape(-1, STEPS, VARIABLES)
    x, fresh = np.split(drawn.astype(np.float32), [TRAINED_ON])
    model = SeriesTransformerConfig(VARIABLES, STEPS, 1, d_model=32, n_layers=2, n_heads=4, d_ff=64, dropout=0.0)
    task = MaskedPredictionTask(model, LabelledSeries(x, np.full(len(x), STEPS), np.zeros(len(x))), recipe)
    params = train(task, recipe, threads=1, on_step=on_step).params
    hidden = geometric_masks(fresh.shape, rng=rng)
    lengths = np.full(len(fresh), STEPS)
    filled, _ = masked_prediction_forward(np.where(hidden, 0, fresh), lengths, params, model)
    ideal = np.stack([conditional_mean(*each) for each in zip(fresh, hidden, strict=True)])
    found, best, true = (each.reshape(fresh.shape)[hidden].astype(np.float64) for each in (filled, ideal, fresh))
    return GaussianPretraining(
        float(((found - true) ** 2).mean()),
        float(((best - true) ** 2).mean()),
        float((true**2).mean()),
        float(hidden.mean()),
        float(np.corrcoef(found, best)[0, 1]),
        asdict(recipe),
    )


def covariance() -> Array:
    """(STEPS · VARIABLES, the same): of all values of a series, step by step; ones on the diagonal."""
    apart = np.abs(np.subtract.outer(np.arange(STEPS), np.arange(STEPS)))
    return np.kron(_IN_TIME**apart, np.array([[1, _BETWEEN], [_BETWEEN, 1]]))


def conditional_mean(series: Array, hidden: BoolArray) -> Array:
    r"""Fill in the hidden values of one series by their mean given the others.

    .. math:: E[x_h \mid x_o] = -\Lambda_{hh}^{-1} \Lambda_{ho}\, x_o

    with the precision matrix Λ.

    Parameters
    ----------
    series : ndarray of shape (STEPS, VARIABLES)
    hidden : ndarray of bool of the same shape

    Returns
    -------
    ndarray of the same shape
    """
    precision, h = np.linalg.inv(covariance()), hidden.ravel()
    filled = series.astype(np.float64).ravel()
    filled[h] = -np.linalg.solve(precision[np.ix_(h, h)], precision[np.ix_(h, ~h)] @ filled[~h])
    return filled.reshape(series.shape)
